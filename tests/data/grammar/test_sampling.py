from transformer.data.grammar import lexicon
from transformer.data.grammar.nodes import Act, Clause, NounPhrase, pronoun_for
from transformer.data.grammar.sampling import GOLDEN, MASK, Stream, content, mix

CAT, MOUSE = NounPhrase(lexicon.noun("cat")), NounPhrase(lexicon.noun("mouse"))
SEE = lexicon.TRANSITIVE["see"]


def test_mix_is_splitmix64():
    """The first outputs of the published generator from state 0."""
    assert mix(GOLDEN) == 0xE220A8397B1DCDAF
    assert mix(2 * GOLDEN & MASK) == 0x6E789E6AA1B965F4


def test_draws_are_even():
    rng = Stream(1, 2, 3)
    counts = [0] * 7
    for _ in range(7_000):
        counts[rng.below(7)] += 1
    assert all(900 < count < 1_100 for count in counts)
    assert 2_000 < sum(rng.chance(30) for _ in range(7_000)) < 2_200


def test_neighbouring_keys_give_unrelated_streams():
    firsts = [Stream(seed, split, index).below(1000) for seed in range(5) for split in range(4) for index in range(50)]
    assert len(set(firsts)) > 600
    assert Stream(0, 1, 2).below(10**9) != Stream(0, 2, 1).below(10**9) != Stream(1, 0, 2).below(10**9)


def test_a_choice_is_what_below_says():
    one, two = Stream(9), Stream(9)
    assert [one.choice(range(13)) for _ in range(50)] == [two.below(13) for _ in range(50)]


def test_content_does_not_see_order_inflection_and_pronouns():
    seen = content(Clause(CAT, Act(SEE, MOUSE)))
    assert content(Clause(MOUSE, Act(SEE, CAT), "past", "not")) == seen
    assert content(Clause(CAT._replace(determiner="my", plural=True), Act(SEE, MOUSE))) == seen
    assert content(Clause(CAT, Act(SEE, pronoun_for(MOUSE)))) == seen - MOUSE.noun.weight
    assert content(Clause(CAT, Act(SEE, CAT))) == seen - MOUSE.noun.weight + CAT.noun.weight
