"""Damaged words, and words that only look damaged."""

import pytest

from transformer.data.doctor import word_checks
from transformer.data.doctor.line_features import LineBlock, PairBlock

FRENCH = ["Le chat noir est déjà dans la maison."] * 12 + ["La bibliothèque est près de la rivière."] * 12
ENGLISH = ["The black cat is already in the house."] * 12 + ["The library is near the river."] * 12


def block(french: str, english: str) -> PairBlock:
    """A pair after the pairs above, from which its words are known."""
    return PairBlock(LineBlock([*FRENCH, french], 0, "fr", "en"), LineBlock([*ENGLISH, english], 0, "en", "fr"))


@pytest.mark.parametrize(
    ("french", "english", "sides"),
    [
        ("Lechat dort.", "The cat sleeps.", [0]),
        ("Le chat dort dans lamaison.", "The cat sleeps in thehouse.", [0, 1]),
        ("Le chat noirestdéjà ici.", "The cat is here.", [0]),
        ("Maybe dort.", "Maybe the cat sleeps.", []),
        ("Le chat isin dort.", "The isin cat sleeps.", []),  # in both sides: a name
        ("Voir www.thehouse.org.", "See www.thehouse.org.", []),
    ],
)
def test_glued_words(french: str, english: str, sides: list[int]) -> None:
    found = [side for side in (0, 1) if list(word_checks.glued(block(french, english), side)) == [len(FRENCH)]]
    assert found == sides


@pytest.mark.parametrize(
    ("french", "lost"),
    [
        ("Le chat est d?j? ici.", True),
        ("La biblioth??que est ici.", True),
        ("Le chat est deja dans la maison.", True),
        ("La bibliothque est ici.", True),
        ("LE CHAT EST DEJA ICI.", False),
        ("Le chat est-il ici?", False),
        ("Voir la page http://a.org/x?y=z ici.", False),
        ("Le chat est ici.", False),
        ("Le chat est déjà ici.", False),
    ],
)
def test_lost_accents(french: str, lost: bool) -> None:
    assert list(word_checks.lost_accents(block(french, "The cat is here."), 0)) == [len(FRENCH)] * lost


@pytest.mark.parametrize(
    ("line", "column"),
    [("Le c h a t o n dort.", 3), ("N x N x N x N", None), ("A, B, C, D, E, F", None), ("Il y a un chat.", None)],
)
def test_spaced_out_letters(line: str, column: int | None) -> None:
    found = list(word_checks.spaced_out(LineBlock([line], 0, "fr", "en")))
    assert found == ([] if column is None else [(0, column)])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Le ch\u0430t", "Le chat"),
        ("\u0410nne dort", "Anne dort"),
        ("un kΩ, 5 μm, Δt, αβ", "un kΩ, 5 μm, Δt, αβ"),
        ("Le mot чат", "Le mot чат"),
    ],
)
def test_letters_of_two_alphabets(line: str, expected: str) -> None:
    found = list(word_checks.mixed_scripts(LineBlock([line], 0, "fr", "en")))
    assert bool(found) == (line != expected)
    assert word_checks.with_latin_letters(line) == expected
