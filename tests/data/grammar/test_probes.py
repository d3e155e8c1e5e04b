"""Incorrect translations with a single error, and the antecedents of pronouns."""

import pytest

from transformer.data import grammar
from transformer.data.grammar.probes import contrastive_pairs, coreference_link

SIZE = 120


@pytest.mark.parametrize("language", ["en", "fr"])
def test_incorrect_translations_differ_from_the_correct_one(language: str) -> None:
    kinds = set()
    for index in range(SIZE):
        example = grammar.generate("validation", index)
        texts = {"en": example.english, "fr": example.french}
        pairs = contrastive_pairs("validation", index, language)
        assert len(set(pairs)) == len(pairs)
        for pair in pairs:
            assert pair.correct == texts[language] != pair.incorrect
            assert pair.source in texts.values()
            assert pair.source != pair.correct
            kinds.add(pair.kind)
            if pair.kind == "word-order":
                # The same words, except for the space at an apostrophe.
                assert sorted(pair.incorrect.replace(" ", "")) == sorted(pair.correct.replace(" ", ""))
            if pair.kind == "coreference":
                assert "coreference" in example.tags
            if pair.kind == "negation":
                assert "negation" in example.tags
    assert kinds == {"coreference", "negation", "number", "agreement", "word-order"}


def incorrect(index: int, language: str, kind: str) -> list[str]:
    return [pair.incorrect for pair in contrastive_pairs("validation", index, language) if pair.kind == kind]


def find(text: str) -> int:
    """Returns the index of the first validation pair with this French sentence."""
    return next(index for index in range(SIZE) if grammar.generate("validation", index).french == text)


def test_a_single_change_keeps_the_agreement() -> None:
    dogs = find("Les chiens aboieront parce qu'ils sont nerveux.")
    assert incorrect(dogs, "fr", "coreference") == ["Les chiens aboieront parce qu'elles sont nerveuses."]
    assert incorrect(dogs, "en", "coreference") == []  # plural
    assert incorrect(dogs, "en", "agreement") == ["The dogs will bark because they is nervous."]
    assert incorrect(dogs, "en", "number") == ["The dog will bark because they are nervous."]
    reports = find("Anne a envoyé les rapports ennuyeux sans les signer.")
    assert "Anne sent the reports boring without signing them." in incorrect(reports, "en", "word-order")


def test_an_antecedent_agrees_with_the_pronoun_and_is_unique() -> None:
    """Gold indices, checked by number and by he or she, which are only people."""
    links = [pair for index in range(SIZE) if (pair := coreference_link("validation", index))]
    assert len(links) > 10
    plural, people = {"they", "them"}, {"he", "she", "him", "her"}
    for example, link in links:
        assert link.pronoun in example.alignment
        assert link.noun in example.alignment
        pronoun = example.english_words[link.pronoun[1]].lower()
        assert "coreference" in example.tags
        pronouns = [
            word for word in map(str.lower, example.english_words) if word in plural | people - {"her"} | {"it"}
        ]
        assert pronouns in ([pronoun], [])  # "her" may be possessive
    (dogs,) = [pair for pair in links if pair[0].french == "Les chiens aboieront parce qu'ils sont nerveux."]
    example, link = dogs
    assert [example.french_words[link.pronoun[0]], example.french_words[link.noun[0]]] == ["ils", "chiens"]
    assert [example.english_words[link.pronoun[1]], example.english_words[link.noun[1]]] == ["they", "dogs"]
