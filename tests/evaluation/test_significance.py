"""Intervals and tests of differences: by hand, at the edges, and in simulation."""

import math
import random

import numpy as np
import pytest

from transformer.evaluation import significance
from transformer.evaluation.sentence_statistics import bleu_of_statistics, bleu_statistics
from transformer.evaluation.significance import Comparison, compare, holm, randomization_p, shrink_variances

WORDS = [f"w{number}" for number in range(50)]
CHANCE = random.Random(0)
REFERENCES = [" ".join(CHANCE.choices(WORDS, k=12)) for _ in range(120)]


def noisy(rate: float, seed: int) -> np.ndarray:
    """Statistics of the references with some words replaced."""
    chance = random.Random(seed)
    texts = [
        " ".join(chance.choice(WORDS) if chance.random() < rate else word for word in line.split())
        for line in REFERENCES
    ]
    return bleu_statistics(texts, REFERENCES, "fr")


def mean_score(sums: np.ndarray) -> np.ndarray:
    """The score of the simulation: a sum of values, one per sentence."""
    return sums[..., 0]


def draw_runs(
    generator: np.random.Generator, effects: list[float], seeds: int, seed_deviation: float, sentences: int = 150
) -> list[list[np.ndarray]]:
    """Runs from the model of crossed random effects; deviations are of a score that is a mean over sentences."""
    of_sentence = np.array([0.8, 0.35, 0.3]) * sentences**0.5  # common, of a system, of a seed
    common = generator.normal(0, of_sentence[0], sentences)
    systems = []
    for effect in effects:
        own = common + effect + generator.normal(0, of_sentence[1], sentences)
        seed_effects = generator.normal(0, seed_deviation, seeds)
        noise = generator.normal(0, of_sentence[2], (seeds, sentences))
        systems.append(
            [(own + shift + run)[:, None] / sentences for shift, run in zip(seed_effects, noise, strict=True)]
        )
    return systems


def test_a_large_difference_is_significant_and_a_random_one_is_not() -> None:
    base = [noisy(0.3, seed) for seed in range(3)]
    systems = {"worse": [noisy(0.45, seed) for seed in range(3, 6)], "equal": [noisy(0.3, seed) for seed in (6, 7, 8)]}
    comparisons = compare(base, systems, bleu_of_statistics)
    worse, equal = comparisons["worse"], comparisons["equal"]
    assert worse.difference < -10
    assert worse.p_adjusted < 0.02
    assert worse.seeds == (3, 3)
    assert worse.seeds_tested
    assert equal.p > 0.1
    assert not equal.significant


def test_a_difference_that_depends_on_the_seed_is_not_significant() -> None:
    good, bad = noisy(0.2, 0), noisy(0.5, 1)
    assert compare([good, bad, good], {"other": [bad, good, good]}, bleu_of_statistics)["other"].p > 0.5
    assert compare([bad, good, bad], {"other": [good, good, good]}, bleu_of_statistics)["other"].p > 0.05


def test_a_single_seed_is_tested_by_its_sentences_and_says_so() -> None:
    comparison = compare([noisy(0.2, 0)], {"worse": [noisy(0.5, 1)]}, bleu_of_statistics)["worse"]
    assert comparison.significant
    assert comparison.seeds == (1, 1)
    assert not comparison.seeds_tested


def test_a_system_with_one_seed_has_the_variance_of_the_others() -> None:
    base = [noisy(rate, seed) for seed, rate in enumerate((0.2, 0.3, 0.4))]
    systems = {"one": [noisy(0.25, 9)], "three": [noisy(rate, 5 + seed) for seed, rate in enumerate((0.2, 0.3, 0.4))]}
    comparisons = compare(base, systems, bleu_of_statistics)
    assert comparisons["one"].seeds == (3, 1)
    assert comparisons["one"].seeds_tested
    assert comparisons["one"].standard_error > comparisons["three"].standard_error


def test_equal_outputs_do_not_differ() -> None:
    same = [noisy(0.2, 0), noisy(0.2, 1)]
    comparison = compare([same[0]], {"same": [same[0]]}, bleu_of_statistics)["same"]
    assert comparison == Comparison(0.0, 0.0, 0.0, 1.0, 1.0, 0.0, (1, 1), False)
    assert compare([same[0]] * 3, {"same": [same[0]] * 3}, bleu_of_statistics)["same"].p == 1
    assert compare(same, {"same": same}, bleu_of_statistics)["same"].p == 1
    assert randomization_p(same[0], same[0], bleu_of_statistics) == 1


def test_zero_variance_between_seeds_does_not_make_chance_significant() -> None:
    """Three equal runs of each system that differ in one sentence."""
    base, other = noisy(0.3, 0), noisy(0.3, 0)
    other[7] = noisy(0.9, 1)[7]
    comparison = compare([base] * 3, {"other": [other] * 3}, bleu_of_statistics)["other"]
    assert comparison.difference != 0
    assert 0.2 < comparison.p < 0.5  # one sentence in 120: t is about 1
    assert randomization_p(base, other, bleu_of_statistics) > 0.9  # each swap gives the same absolute difference


def test_one_sentence_proves_nothing() -> None:
    good, bad = noisy(0.1, 0)[:1], noisy(0.6, 1)[:1]
    comparison = compare([good] * 3, {"bad": [bad] * 3}, bleu_of_statistics)["bad"]
    assert comparison.p == 1
    assert not comparison.significant
    assert comparison.half_width == math.inf


def test_interval_and_verdict_agree_for_fifty_variants_with_mixed_seeds() -> None:
    generator = np.random.default_rng(0)
    effects = [0.0, *generator.normal(0, 1.5, 50)]
    base, *others = draw_runs(generator, effects, 5, 0.4)
    systems = {str(index): runs[: 1 + index % 5] for index, runs in enumerate(others)}
    comparisons = compare(base, systems, mean_score)
    verdicts = [comparison.significant for comparison in comparisons.values()]
    assert verdicts == [abs(each.difference) > each.half_width for each in comparisons.values()]
    assert 5 < sum(verdicts) < 45


def test_invalid_runs_are_rejected() -> None:
    with pytest.raises(ValueError, match="without seeds"):
        compare([noisy(0.2, 0)], {"none": []}, bleu_of_statistics)
    with pytest.raises(ValueError, match="different numbers"):
        compare([noisy(0.2, 0)], {"short": [noisy(0.2, 0)[:7]]}, bleu_of_statistics)


def test_shrunk_variances() -> None:
    """Variances that differ no more than by chance become their mean, but no variance becomes smaller."""
    generator = np.random.default_rng(0)
    equal = [generator.normal(0, 1, 3) for _ in range(40)]
    shrunk = [variance for variance in shrink_variances(equal) if variance]
    pooled = np.mean([values.var(ddof=1) for values in equal])
    assert min(variance.value for variance in shrunk) == pytest.approx(pooled, rel=0.3)
    assert all(new.value >= values.var(ddof=1) - 1e-12 for new, values in zip(shrunk, equal, strict=True))
    different = [generator.normal(0, 10.0 ** generator.uniform(-2, 2), 3) for _ in range(40)]
    assert min(variance.value for variance in shrink_variances(different) if variance) < 0.1
    assert shrink_variances([np.array([1.0]), np.array([2.0])]) == [None, None]


def test_a_mixed_model_by_hand() -> None:
    """Two systems, four seeds, no spread of sentences: t = difference / sqrt(2 v / 4), v the pooled variance."""
    base = [np.full((10, 1), value / 10) for value in (1.0, 2.0, 3.0, 4.0)]
    other = [statistics + 0.3 for statistics in base]
    comparison = compare(base, {"other": other}, mean_score)["other"]
    assert comparison.difference == pytest.approx(3)
    assert comparison.standard_error == pytest.approx(math.sqrt(2 * (5 / 3) / 4))
    assert comparison.degrees_of_freedom == pytest.approx(12)  # each variance has the freedom of both: 6
    from scipy import stats

    assert comparison.half_width == pytest.approx(stats.t.ppf(0.975, 12) * comparison.standard_error)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "power_2", "power_4"), [(1, 0.5, 0.9), (3, 0.5, 0.95), (5, 0.7, 0.99)])
def test_false_positives_and_power_in_simulation(
    seeds: int, power_2: float, power_4: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight variants: any false positive in at most 5 % of sweeps, within the error of 600 of them.

    With one seed the variance between seeds is not tested, so there is none in that simulation.
    """
    monkeypatch.setattr(significance, "DRAWS", 300)
    generator, sweeps = np.random.default_rng(seeds), 600
    deviation = 0.35 if seeds > 1 else 0.0
    false, found = 0, {2.0: 0, 4.0: 0}
    for _ in range(sweeps):
        base, *others = draw_runs(generator, [0.0] * 9, seeds, deviation)
        systems = {str(index): runs for index, runs in enumerate(others)}
        false += any(each.significant for each in compare(base, systems, mean_score).values())
        for effect in found:
            shifted = {**systems, "0": [statistics + effect / len(statistics) for statistics in systems["0"]]}
            found[effect] += compare(base, shifted, mean_score)["0"].significant
    print(f"{seeds} seeds: false {false / sweeps:.3f}, power {found[2.0] / sweeps:.2f} and {found[4.0] / sweeps:.2f}")
    # 5 % plus two standard errors; one seed's many sentences are close to normal, but nothing is shrunk.
    assert false / sweeps <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / sweeps)
    assert found[2.0] / sweeps >= power_2
    assert found[4.0] / sweeps >= power_4


def test_holm_by_hand() -> None:
    """Three p-values: 0.01 · 3, 0.02 · 2, 0.5 · 1; adjusted values keep the order."""
    assert holm({"a": 0.5, "b": 0.01, "c": 0.02}) == pytest.approx({"a": 0.5, "b": 0.03, "c": 0.04})
    assert holm({"a": 0.03, "b": 0.02}) == pytest.approx({"a": 0.04, "b": 0.04})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
