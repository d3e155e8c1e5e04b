"""What the sides of a pair must have in common, and what they need not."""

import pytest

from transformer.data.doctor import agreement_checks
from transformer.data.doctor.line_features import LineBlock, PairBlock


def block(french: str, english: str) -> PairBlock:
    return PairBlock(LineBlock([french], 0, "fr", "en"), LineBlock([english], 0, "en", "fr"))


@pytest.mark.parametrize(
    ("french", "english", "disagree"),
    [
        ("en 1984", "in 1985", True),
        ("de 20 à 30", "from 20 to 35", True),
        ("38 000 mots", "38,000 words", False),
        ("38000 mots", "38,000 words", False),
        ("1,5 litre", "1.5 litres", False),
        ("le 24/12/2010", "12/24/2010", False),
        ("à 16 h 30", "at 4:30", False),
        ("les années 90", "the 1990s", False),
        ("2 chats", "two cats", False),
        ("le n° 05", "no. 5", False),
    ],
)
def test_numbers(french: str, english: str, disagree: bool) -> None:
    assert list(agreement_checks.numbers(block(french, english))) == [0] * disagree


@pytest.mark.parametrize(
    ("french", "english", "differ"),
    [
        ("%s fichiers", "%d files", True),
        ("{0} et {1}", "{0}", True),
        ("${name} dort", "name sleeps", True),
        ("%(a)s et %(b)s", "%(b)s and %(a)s", False),
        ("50 % des cas", "50% of cases", False),
        ("100 %d'accord", "100 % agreed", True),
    ],
)
def test_placeholders(french: str, english: str, differ: bool) -> None:
    assert list(agreement_checks.placeholders(block(french, english))) == [0] * differ


@pytest.mark.parametrize(
    ("french", "english", "sides"),
    [
        ("Le chat (noir", "The cat (black)", [0]),
        ("Le chat noir)", "The black cat", [0]),
        ("Un tableau [1]", "An array [1", [1]),
        ("a) le chat", "the cat", []),
        ("Le chat :)", "The cat", []),
        ("Le chat (noir", "The cat (black", []),
    ],
)
def test_brackets(french: str, english: str, sides: list[int]) -> None:
    assert [side for side in (0, 1) if list(agreement_checks.brackets(block(french, english), side))] == sides


@pytest.mark.parametrize(
    ("french", "english", "differ"),
    [
        ("Où est le chat ?", "Where is the cat.", True),
        ("Le chat noir dort", "The black cat sleeps.", True),
        ("« Le chat noir dort. »", "“The black cat sleeps.”", False),
        ("Le chat noir dort…", "The black cat sleeps...", False),
        ("Le chat noir dort ;", "The black cat sleeps.", False),
        ("Chats", "Cats.", False),
    ],
)
def test_end_punctuation(french: str, english: str, differ: bool) -> None:
    assert list(agreement_checks.end_punctuation(block(french, english))) == [0] * differ


def test_capitals() -> None:
    shouted = block("LE CHAT NOIR DORT", "The black cat sleeps")
    assert list(agreement_checks.capitals(shouted, 0)) == [0]
    assert list(agreement_checks.capitals(shouted, 1)) == []
    assert list(agreement_checks.capitals(block("LE CHAT NOIR DORT", "THE BLACK CAT SLEEPS"), 0)) == []
    assert list(agreement_checks.capitals(block("API REST", "REST API"), 0)) == []
