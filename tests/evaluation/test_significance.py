"""Differences that are chance and differences that are not."""

import random

import pytest

from transformer.evaluation.confidence import Mean
from transformer.evaluation.significance import Comparison, compare, holm

WORDS = [f"w{number}" for number in range(50)]
CHANCE = random.Random(0)
REFERENCES = [" ".join(CHANCE.choices(WORDS, k=12)) for _ in range(120)]


def noisy(rate: float, seed: int) -> list[str]:
    """The references with some words replaced."""
    chance = random.Random(seed)
    return [
        " ".join(chance.choice(WORDS) if chance.random() < rate else word for word in line.split())
        for line in REFERENCES
    ]


def test_a_large_difference_is_found_and_chance_is_not() -> None:
    base = [noisy(0.3, seed) for seed in range(3)]
    worse, alike = [noisy(0.45, seed) for seed in range(3, 6)], [noisy(0.3, seed) for seed in range(6, 9)]
    found = compare(base, worse, REFERENCES)
    assert found.difference.value < -10
    assert found.difference.seeds == 3
    assert max(found.p_sentences, found.p_seeds or 1, found.p) < 0.02
    assert compare(base, alike, REFERENCES).p > 0.1


def test_what_depends_on_the_seed_is_not_significant_however_many_sentences_say_so() -> None:
    """Each seed differs clearly from its partner, but once up and once down."""
    good, bad = noisy(0.2, 0), noisy(0.5, 1)
    found = compare([good, bad, good], [bad, good, good], REFERENCES)
    assert found.p == found.p_seeds
    assert found.p > 0.5


def test_one_seed_is_judged_by_its_sentences() -> None:
    found = compare([noisy(0.2, 0)], [noisy(0.5, 1)], REFERENCES)
    assert found.p_seeds is None
    assert found.p == found.p_sentences < 0.01


def test_the_same_translations_differ_in_nothing() -> None:
    same = [noisy(0.2, 0), noisy(0.2, 1)]
    assert compare(same, same, REFERENCES) == Comparison(Mean(0.0, 0.0, 2), 1.0, 1.0)


def test_seeds_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 seeds cannot be compared with 1"):
        compare([REFERENCES], [REFERENCES, REFERENCES], REFERENCES)


def test_holm_by_hand() -> None:
    """Three p-values: 0.01 · 3, 0.02 · 2, 0.5 · 1; and none falls below one that was smaller."""
    assert holm({"a": 0.5, "b": 0.01, "c": 0.02}) == pytest.approx({"a": 0.5, "b": 0.03, "c": 0.04})
    assert holm({"a": 0.03, "b": 0.02}) == pytest.approx({"a": 0.04, "b": 0.04})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
