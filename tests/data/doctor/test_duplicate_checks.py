"""Texts that count as the same, and texts that do not."""

import pytest

from transformer.data.doctor.line_features import LineBlock


def are_equal(first: str, second: str) -> bool:
    hashes = LineBlock([first, second], 0, "fr", "en").features.hashes
    return hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("L'homme est là.", "L’homme est là"),
        ("Un chat - noir", "un chat – noir…"),
        ("« Oui »", '"Oui"'),
        ("«\u00a0Oui\u202f»", "“oui”"),
        ("Quoi\u202f?", "quoi"),
    ],
)
def test_spellings_of_a_text_are_equal(first: str, second: str) -> None:
    assert are_equal(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Un compilateur C.", "Un compilateur C++."),
        ("bibliothèque C", "bibliothèque C#"),
        ("la version 1.5", "la version 15"),
        ("100 %", "100 €"),
        ("lib*", "lib"),
        ("été", "ete"),
    ],
)
def test_different_texts_differ(first: str, second: str) -> None:
    assert not are_equal(first, second)
