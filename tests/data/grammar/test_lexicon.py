"""The lexicon: its size, one-to-one translations, valid cells, and that every entry is used."""

import pathlib
import tomllib
from collections.abc import Callable

import pytest

from transformer.data.grammar import lexicon
from transformer.data.grammar.lexicon import plausibility, reading
from transformer.data.grammar.lexicon.entries import LexicalEntry
from transformer.data.grammar.lexicon.weights import form_classes

NOUNS = (*lexicon.NOUNS.values(), *lexicon.NAMES.values(), *lexicon.REGIONS.values())


def test_there_are_over_six_hundred_lemmas():
    lemmas = {(entry.lemma, entry.french_lemma) for entry in (*lexicon.CONTENT, *lexicon.UNINFLECTED)}
    assert len(lemmas) > 600
    assert len({entry.french_lemma for entry in lexicon.CONTENT}) > 500


@pytest.mark.parametrize("side", ["french_forms", "english_forms"])
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


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="lemma 'hors'"):
        lexicon.select_nouns("dog hors")


def test_a_minus_sign_excludes_a_noun():
    assert {noun.lemma for noun in lexicon.select_nouns("pet -cat")} == {"dog", "rabbit", "hamster"}


def test_entries_that_share_a_form_share_a_weight():
    dog = lexicon.NOUNS["dog"]
    bed, read = lexicon.NOUNS["bed"], lexicon.TRANSITIVE["read"]  # "lit" is a bed and a form of "lire"
    assert bed.weight == read.weight != dog.weight
    # "je suis" is a form of "être" and of "suivre": a form that is a grammar word does not identify an entry.
    weightless = {entry.lemma for entry in lexicon.CONTENT if entry.weight == 0}
    assert weightless == {"plane", "follow", "have", "can", "must", "rain"}


def test_classes_follow_shared_forms_through_others():
    def entry(french_forms, english_forms):
        return LexicalEntry("x", "x", frozenset(), frozenset(french_forms), frozenset(english_forms))

    one, two, three, four = entry("ab", "p"), entry("c", "pq"), entry("d", "q"), entry("e", "r")
    classes_by_name = form_classes([one, two, three, four], frozenset({"fr:e"}))
    assert sorted(map(len, classes_by_name.values())) == [1, 3]
    assert classes_by_name[""] == [four]


def test_every_adjective_fits_a_noun():
    for adjective in lexicon.ADJECTIVES.values():
        assert any(adjective in noun.adjectives or adjective in noun.predicates for noun in NOUNS), adjective.lemma


def test_every_common_noun_occurs_in_a_frame_or_has_a_property():
    verbs = [verb for table in lexicon.VERB_TABLES for verb in table.values()]
    used = {noun for verb in verbs for frame in verb.frames for nouns in frame for noun in nouns}
    assert not [noun.lemma for noun in lexicon.NOUNS.values() if noun not in used and not noun.predicates]


def row(**cells: str) -> dict[str, str]:
    return {"english": "x", "french": "x", "label": "", "places": "", "fits": "person", **cells}


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: reading.uninflected("soon", "bientôt", links="0-1"), "'0-1' is out of range: 1 French and 1 English"),
        (lambda: reading.uninflected("soon", "bientôt", links="1"), "the link '1'"),
        (
            lambda: reading.adjective(row(position="pre"), lexicon.parse_kinds, lexicon.select_nouns),
            "'position' is 'pre'.*before, after",
        ),
        (lambda: reading.stative_phrase(row(auxiliary="aller"), lexicon.parse_kinds), "'auxiliary' is 'aller'"),
        (lambda: reading.verb(row(french="zot", aspect="event", frames=""), lexicon.select_nouns), "'zot'"),
        (lambda: reading.verb(row(french="lire", aspect="e", frames=""), lexicon.select_nouns), "'aspect' is 'e'"),
        (lambda: reading.noun(row(gender="f", english_plural="", kinds="", location="dans")), "'location' is 'dans'"),
        (lambda: plausibility.action_pattern("zot > book"), "verb 'zot'"),
        (lambda: plausibility.action_pattern("read > zot"), "kind or lemma 'zot'"),
    ],
)
def test_an_invalid_cell_is_reported(read: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read()


def test_a_wheel_contains_the_tables() -> None:
    root = pathlib.Path(__file__).parents[3]
    package_data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "*.tsv" in package_data["transformer.data.grammar.lexicon"]
