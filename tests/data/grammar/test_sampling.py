from transformer.data.grammar import lexicon
from transformer.data.grammar.nodes import Clause, NounPhrase, VerbPhrase, pronoun_for
from transformer.data.grammar.sampling import GOLDEN_GAMMA, MASK, RandomStream, content_weight, mix64

CAT, MOUSE = NounPhrase(lexicon.find_noun("cat")), NounPhrase(lexicon.find_noun("mouse"))
SEE = lexicon.TRANSITIVE["see"]


def test_mix64_is_splitmix64():
    """The first outputs of the published generator from state 0."""
    assert mix64(GOLDEN_GAMMA) == 0xE220A8397B1DCDAF
    assert mix64(2 * GOLDEN_GAMMA & MASK) == 0x6E789E6AA1B965F4


def test_samples_are_uniform():
    rng = RandomStream(1, 2, 3)
    counts = [0] * 7
    for _ in range(7_000):
        counts[rng.randbelow(7)] += 1
    assert all(900 < count < 1_100 for count in counts)
    assert 2_000 < sum(rng.chance(30) for _ in range(7_000)) < 2_200


def test_neighbouring_keys_give_unrelated_streams():
    firsts = [
        RandomStream(seed, split, index).randbelow(1000)
        for seed in range(5)
        for split in range(4)
        for index in range(50)
    ]
    assert len(set(firsts)) > 600
    assert (
        RandomStream(0, 1, 2).randbelow(10**9)
        != RandomStream(0, 2, 1).randbelow(10**9)
        != RandomStream(1, 0, 2).randbelow(10**9)
    )


def test_choice_agrees_with_randbelow():
    one, two = RandomStream(9), RandomStream(9)
    assert [one.choice(range(13)) for _ in range(50)] == [two.randbelow(13) for _ in range(50)]


def test_content_ignores_order_inflection_and_pronouns():
    seen = content_weight(Clause(CAT, VerbPhrase(SEE, MOUSE)))
    assert content_weight(Clause(MOUSE, VerbPhrase(SEE, CAT), "past", "not")) == seen
    assert content_weight(Clause(CAT._replace(determiner="my", plural=True), VerbPhrase(SEE, MOUSE))) == seen
    assert content_weight(Clause(CAT, VerbPhrase(SEE, pronoun_for(MOUSE)))) == seen - MOUSE.noun.weight
    assert content_weight(Clause(CAT, VerbPhrase(SEE, CAT))) == seen - MOUSE.noun.weight + CAT.noun.weight
