import pytest

from transformer.data.grammar import french


@pytest.mark.parametrize(
    ("masculine", "forms"),
    [
        ("vieux", "vieux vieille vieux vieilles"),
        ("cher", "cher chère chers chères"),
        ("heureux", "heureux heureuse heureux heureuses"),
        ("italien", "italien italienne italiens italiennes"),
        ("marron", "marron marron marron marron"),
        ("frais", "frais fraîche frais fraîches"),
        ("bleu", "bleu bleue bleus bleues"),
        ("pris", "pris prise pris prises"),
        ("facile", "facile facile faciles faciles"),
    ],
)
def test_french_agreement(masculine, forms):
    assert " ".join(french.four_forms(masculine)) == forms


def test_french_plurals():
    singular = "cheval gâteau bijou hibou neveu bras journal grand-père sœur"
    assert [french.pluralize(word) for word in singular.split()] == (
        "chevaux gâteaux bijous hiboux neveux bras journaux grands-pères sœurs".split()
    )


@pytest.mark.parametrize(
    ("word", "following", "expected"),
    [
        ("le", "homme", "l'"),
        ("le", "héros", "le"),
        ("la", "Hollande", "la"),
        ("de", "Hélène", "d'"),
        ("que", "il", "qu'"),
        ("si", "il", "s'"),
        ("si", "elle", "si"),
        ("ne", "y", "n'"),
        ("je", "écoute", "j'"),
        ("qui", "a", "qui"),
    ],
)
def test_elision(word, following, expected):
    assert french.elided(word, following) == expected
