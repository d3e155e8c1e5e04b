"""Gold alignments: some by hand, and properties of all."""

import pytest

from transformer.data.grammar import generate, lexicon
from transformer.data.grammar.agreement import HE, Agreement
from transformer.data.grammar.lexicon.weights import grammar_words
from transformer.data.grammar.nodes import Clause, NounPhrase, PlacePhrase, Pronoun, Question, VerbPhrase
from transformer.data.grammar.sentences import realise

SHE = Pronoun(Agreement(HE, 1, True))
V = lexicon.TRANSITIVE


def np(lemma, determiner="the", **more):
    return NounPhrase(lexicon.find_noun(lemma), determiner, **more)


def linked(example):
    """Returns the alignment as text: for each French word, the English words it is linked to."""
    links = {i: [] for i in range(len(example.french_words))}
    for i, j in example.alignment:
        links[i].append(example.english_words[j])
    return " ".join(f"{word}={'+'.join(links[i])}" for i, word in enumerate(example.french_words))


@pytest.mark.parametrize(
    ("derivation", "links"),
    [
        (
            Clause(np("chicken"), VerbPhrase(V["cross"], np("road")), "past", "not"),
            "Le=The poulet=chicken n'=not a=did pas=not traversé=cross la=the route=road .=.",
        ),
        (
            Question(Clause(np("hero"), VerbPhrase(V["need"], np("axe", "a")))),
            "Est-ce=Does que=Does le=the héros=hero a=Does+need besoin=Does+need d'=Does+need une=an hache=axe ?=?",
        ),
        (
            Clause(
                np("dog", possessor=np("neighbor")),
                VerbPhrase(lexicon.MOTION["come back"]),
                "past",
                place=PlacePhrase(lexicon.PREPOSITIONS["from"], np("market")),
            ),
            "Le=neighbor's chien=dog du=The+neighbor's voisin=neighbor's est=came+back revenu=came+back "
            "du=from+the marché=market .=.",
        ),
        (
            Clause(SHE, VerbPhrase(V["look for"], np("key", adjective=lexicon.ADJECTIVES["old"])), "future"),
            "Elle=She cherchera=will+look+for la=the vieille=old clé=key .=.",
        ),
        (
            Clause(SHE, VerbPhrase(lexicon.DITRANSITIVE["show"], np("book", "a"), SHE), "past", time=None),
            "Elle=She lui=to+her a=showed montré=showed un=a livre=book .=.",
        ),
        (
            Clause(np("cat"), VerbPhrase(V["be afraid of"], np("dog")), negation="not"),
            "Le=The chat=cat n'=not a=is pas=not peur=afraid du=of+the chien=dog .=.",
        ),
    ],
)
def test_alignments_checked_by_hand(derivation, links):
    assert linked(realise(derivation)) == links


@pytest.fixture(scope="module")
def examples():
    return [generate(split, i, seed=5) for split, n in (("train", 2_500), ("long", 200)) for i in range(n)]


def test_links_are_in_range_sorted_and_distinct(examples):
    for example in examples:
        assert list(example.alignment) == sorted(set(example.alignment))
        assert all(0 <= i < len(example.french_words) for i, _ in example.alignment)
        assert all(0 <= j < len(example.english_words) for _, j in example.alignment)


def test_every_content_word_is_linked(examples):
    grammar = grammar_words(lexicon.CONTENT, lexicon.UNINFLECTED)
    for k, side in enumerate(("french", "english")):
        forms = {form.lower() for entry in lexicon.CONTENT for form in getattr(entry, side + "_forms")}
        forms -= {word[3:] for word in grammar if word.startswith(side[:2])}
        for example in examples:
            covered = {link[k] for link in example.alignment}
            for position, word in enumerate(getattr(example, side + "_words")):
                if word.lower().removesuffix("'s") in forms:
                    assert position in covered, (word, getattr(example, side))


def test_nearly_every_word_is_linked(examples):
    """Unaligned words are articles that one language lacks, as in "aime les pommes" or "la semaine dernière"."""
    words = sum(len(e.french_words) + len(e.english_words) for e in examples)
    linked_words = sum(len({i for i, _ in e.alignment}) + len({j for _, j in e.alignment}) for e in examples)
    assert linked_words > 0.98 * words
    for example in examples:
        covered = {i for i, _ in example.alignment}
        loose = {word.lower() for i, word in enumerate(example.french_words) if i not in covered}
        assert loose <= {"le", "la", "les", "l'"}, example.french
        assert len({j for _, j in example.alignment}) == len(example.english_words), example.english


def test_an_entry_is_linked_to_its_translation(examples):
    """No link joins a noun to another noun's translation: the alignment agrees with the lexicon."""
    french = {form: noun for noun in lexicon.NOUNS.values() for form in noun.french}
    english = {form: noun for noun in lexicon.NOUNS.values() for form in noun.english}
    clear = {
        form
        for form in english
        if not any(form in verb.english_forms for t in lexicon.VERB_TABLES for verb in t.values())
    }
    verbs = {form for table in lexicon.VERB_TABLES for verb in table.values() for form in verb.french_forms}
    for example in examples:
        for i, j in example.alignment:
            source, target = example.french_words[i], example.english_words[j]
            if source in french and source not in verbs and target in clear:
                assert french[source] is english[target], (source, target, example.french)
