"""Both sentences of a minimal pair are correct, and differ where they should."""

import itertools

import pytest

from transformer.data.grammar.minimal_pairs import KINDS, ROLES, minimal_pairs


def first(kind: str, language: str, count: int) -> list:
    return list(itertools.islice(minimal_pairs(kind, "validation", language), count))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("language", "changed"), [("fr", 1), ("en", 2)])
def test_sources_differ_in_a_word_or_two(kind: str, language: str, changed: int) -> None:
    pairs = first(kind, language, 5)
    assert pairs == first(kind, language, 5)
    assert len({pair.source for pair in pairs}) == 5
    for pair in pairs:
        words = [text.replace("'", "' ").split() for text in (pair.source, pair.other_source)]
        assert len(words[0]) == len(words[1])
        assert 0 < sum(old != new for old, new in zip(*words, strict=True)) <= changed
        assert pair.translation != pair.other_translation


def test_the_antecedent_of_a_pronoun_decides_its_gender() -> None:
    """The pronoun is the first difference of the translations; roles name the words of the source."""
    for pair in first("coreference", "fr", 5):
        translations = [text.replace("'", "' ").split() for text in (pair.translation, pair.other_translation)]
        differing = next(words for words in zip(*translations, strict=False) if words[0] != words[1])
        assert set(differing) <= {"il", "elle", "ils", "elles"}
        roles = dict(pair.roles)
        assert tuple(roles) == ROLES
        assert pair.source_words[roles["pronoun"]] == "it"
        assert roles["antecedent"] != roles["other antecedent"]
        assert pair.source_words[-1] == "."
