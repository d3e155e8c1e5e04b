"""Wrong translations that differ in one thing, and the nouns of pronouns."""

import pytest

from transformer.data import grammar
from transformer.data.grammar.probes import contrasts, link

SIZE = 120


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_wrong_translation_is_of_the_same_source_and_is_another(language: str) -> None:
    kinds = set()
    for index in range(SIZE):
        example = grammar.generate("validation", index)
        texts = {"en": example.english, "fr": example.french}
        found = contrasts("validation", index, language)
        assert len(set(found)) == len(found)
        for each in found:
            assert each.right == texts[language] != each.wrong
            assert each.source in texts.values()
            assert each.source != each.right
            kinds.add(each.kind)
            if each.kind == "word-order":
                # The same words, but for the apostrophe's space.
                assert sorted(each.wrong.replace(" ", "")) == sorted(each.right.replace(" ", ""))
            if each.kind == "coreference":
                assert "coreference" in example.tags
            if each.kind == "negation":
                assert "negation" in example.tags
    assert kinds == {"coreference", "negation", "number", "agreement", "word-order"}


def wrong(index: int, language: str, kind: str) -> list[str]:
    return [each.wrong for each in contrasts("validation", index, language) if each.kind == kind]


def find(text: str) -> int:
    """The first pair of validation whose French side is this, so that a test reads as it speaks."""
    return next(index for index in range(SIZE) if grammar.generate("validation", index).french == text)


def test_one_thing_is_changed_and_what_agrees_with_it_follows() -> None:
    dogs = find("Les chiens aboieront parce qu'ils sont nerveux.")
    assert wrong(dogs, "fr", "coreference") == ["Les chiens aboieront parce qu'elles sont nerveuses."]
    assert wrong(dogs, "en", "coreference") == []  # they are they
    assert wrong(dogs, "en", "agreement") == ["The dogs will bark because they is nervous."]
    assert wrong(dogs, "en", "number") == ["The dog will bark because they are nervous."]
    reports = find("Anne a envoyé les rapports ennuyeux sans les signer.")
    assert "Anne sent the reports boring without signing them." in wrong(reports, "en", "word-order")


def test_a_pronoun_s_noun_agrees_with_it_and_is_its_only_one() -> None:
    """Gold places, checked by what the corpus promises: number, and he or she for people alone."""
    found = [each for index in range(SIZE) if (each := link("validation", index))]
    assert len(found) > 10
    plural, people = {"they", "them"}, {"he", "she", "him", "her"}
    for example, places in found:
        assert places.pronoun in example.alignment
        assert places.noun in example.alignment
        pronoun = example.english_words[places.pronoun[1]].lower()
        assert "coreference" in example.tags
        spoken = [word for word in map(str.lower, example.english_words) if word in plural | people - {"her"} | {"it"}]
        assert spoken in ([pronoun], [])  # "her" may be possessive, too
    (dogs,) = [each for each in found if each[0].french == "Les chiens aboieront parce qu'ils sont nerveux."]
    example, places = dogs
    assert [example.french_words[places.pronoun[0]], example.french_words[places.noun[0]]] == ["ils", "chiens"]
    assert [example.english_words[places.pronoun[1]], example.english_words[places.noun[1]]] == ["they", "dogs"]
