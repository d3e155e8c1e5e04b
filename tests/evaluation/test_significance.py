"""Random and systematic differences in BLEU."""

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


def test_a_large_difference_is_significant_and_a_random_one_is_not() -> None:
    base = [noisy(0.3, seed) for seed in range(3)]
    worse, equal = [noisy(0.45, seed) for seed in range(3, 6)], [noisy(0.3, seed) for seed in range(6, 9)]
    comparison = compare(base, worse, REFERENCES)
    assert comparison.difference.value < -10
    assert comparison.difference.seeds == 3
    assert max(comparison.p_sentences, comparison.p_seeds or 1, comparison.p) < 0.02
    assert compare(base, equal, REFERENCES).p > 0.1


def test_a_difference_that_depends_on_the_seed_is_not_significant() -> None:
    """Two pairs of seeds differ clearly, but in opposite directions."""
    good, bad = noisy(0.2, 0), noisy(0.5, 1)
    comparison = compare([good, bad, good], [bad, good, good], REFERENCES)
    assert comparison.p == comparison.p_seeds
    assert comparison.p > 0.5


def test_a_single_seed_is_tested_by_its_sentences() -> None:
    comparison = compare([noisy(0.2, 0)], [noisy(0.5, 1)], REFERENCES)
    assert comparison.p_seeds is None
    assert comparison.p == comparison.p_sentences < 0.01


def test_equal_translations_do_not_differ() -> None:
    same = [noisy(0.2, 0), noisy(0.2, 1)]
    assert compare(same, same, REFERENCES) == Comparison(Mean(0.0, 0.0, 2), 1.0, 1.0)


def test_unequal_numbers_of_seeds_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"2 seeds .* 1 "):
        compare([REFERENCES], [REFERENCES, REFERENCES], REFERENCES)


def test_holm_by_hand() -> None:
    """Three p-values: 0.01 · 3, 0.02 · 2, 0.5 · 1; adjusted values keep the order."""
    assert holm({"a": 0.5, "b": 0.01, "c": 0.02}) == pytest.approx({"a": 0.5, "b": 0.03, "c": 0.04})
    assert holm({"a": 0.03, "b": 0.02}) == pytest.approx({"a": 0.04, "b": 0.04})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
