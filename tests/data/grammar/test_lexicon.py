"""The lexicon: enough of it, one to one, and every word of it in use."""

import pytest

from transformer.data.grammar import lexicon
from transformer.data.grammar.lexicon.entries import Entry
from transformer.data.grammar.lexicon.weights import classes

NOUNS = (*lexicon.NOUNS.values(), *lexicon.NAMES.values(), *lexicon.REGIONS.values())


def test_there_are_over_six_hundred_lemmas():
    lemmas = {(entry.lemma, entry.french_lemma) for entry in (*lexicon.CONTENT, *lexicon.UNINFLECTED)}
    assert len(lemmas) > 600
    assert len({entry.french_lemma for entry in lexicon.CONTENT}) > 500


@pytest.mark.parametrize("side", ["french_key", "english_key"])
@pytest.mark.parametrize("entries", [NOUNS, lexicon.ADJECTIVES.values()], ids=["nouns", "adjectives"])
def test_a_form_belongs_to_one_noun_and_to_one_adjective(entries, side):
    owner = {}
    for entry in entries:
        for form in getattr(entry, side):
            assert owner.setdefault(form, entry) is entry, (form, entry.lemma, owner[form].lemma)


def test_a_verb_has_one_translation_in_each_kind_of_sentence():
    for table in lexicon.VERB_TABLES:
        assert len({verb.french_lemma for verb in table.values()}) == len(table)
        assert len({(verb.base, verb.particle) for verb in table.values()}) == len(table)


def test_a_kind_is_not_also_a_noun():
    """ "farm" as a kind of animal would let the farm eat the carrots."""
    for noun in lexicon.NOUNS.values():
        assert [other.lemma for other in NOUNS if noun.lemma in other.kinds] == [noun.lemma]


def test_a_word_in_a_table_that_names_nothing_is_refused():
    with pytest.raises(ValueError, match="lemma 'hors'"):
        lexicon.nouns_of("dog hors")


def test_a_minus_sign_takes_a_noun_out():
    assert {noun.lemma for noun in lexicon.nouns_of("pet -cat")} == {"dog", "rabbit", "hamster"}


def test_entries_that_share_a_form_share_a_weight():
    dog = lexicon.NOUNS["dog"]
    bed, read = lexicon.NOUNS["bed"], lexicon.TRANSITIVE["read"]  # "lit" is a bed, and reads
    assert bed.weight == read.weight != dog.weight
    # "je suis" is of "être" and of "suivre": a form that the grammar uses says nothing about the content.
    weightless = {entry.lemma for entry in lexicon.CONTENT if entry.weight == 0}
    assert weightless == {"plane", "follow", "have", "can", "must", "rain"}


def test_classes_follow_shared_forms_through_others():
    def entry(french_key, english_key):
        return Entry("x", "x", frozenset(), frozenset(french_key), frozenset(english_key))

    one, two, three, four = entry("ab", "p"), entry("c", "pq"), entry("d", "q"), entry("e", "r")
    found = classes([one, two, three, four], frozenset({"fr:e"}))
    assert sorted(map(len, found.values())) == [1, 3]
    assert found[""] == [four]


def test_every_adjective_fits_a_noun():
    for adjective in lexicon.ADJECTIVES.values():
        assert any(adjective in noun.adjectives or adjective in noun.predicates for noun in NOUNS), adjective.lemma


def test_every_common_noun_can_be_talked_about():
    verbs = [verb for table in lexicon.VERB_TABLES for verb in table.values()]
    used = {noun for verb in verbs for frame in verb.frames for nouns in frame for noun in nouns}
    assert not [noun.lemma for noun in lexicon.NOUNS.values() if noun not in used and not noun.predicates]
