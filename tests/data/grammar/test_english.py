import pytest

from transformer.data.grammar import english


@pytest.mark.parametrize(
    ("base", "forms"),
    [
        ("cross", "crosses crossed crossing"),
        ("carry", "carries carried carrying"),
        ("play", "plays played playing"),
        ("prefer", "prefers preferred preferring"),
        ("write", "writes wrote writing"),
        ("tear", "tears tore tearing"),
        ("see", "sees saw seeing"),
        ("stop", "stops stopped stopping"),
        ("describe", "describes described describing"),
        ("go", "goes went going"),
    ],
)
def test_english_verbs(base, forms):
    assert f"{english.third_person(base)} {english.past(base)} {english.present_participle(base)}" == forms


def test_english_articles():
    words = "apple house hour university old honest used egg".split()
    assert [english.indefinite_article(word) for word in words] == "an a an a an an a an".split()
