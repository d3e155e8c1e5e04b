"""Differences between systems with several seeds each: intervals and tests with crossed random effects.

A score varies with the seed of training and with the sentences of the test set. The variance of a difference of two
means over seeds has three parts:

* the variance over seeds of the base, divided by its number of seeds;
* the same for the other system;
* the variance over sentences, by a bootstrap that draws the same sentences for all seeds of both systems.

Three seeds are too few for a variance. Each system's variance is shrunk towards those of all systems of the sweep
(Smyth 2004, doi 10.2202/1544-6115.1027); the larger of the shrunk variance and the system's own is used. Both the
bootstrap's variance and that over seeds contain the interaction of seeds and sentences; it is subtracted once if each
system has at least three seeds. Satterthwaite's formula gives the degrees of freedom of the sum, and Student's t the
p-value and the interval. Systems are independent: a seed is not paired with the equal seed of the base.

The module does not know BLEU: a score is a function of summed statistics of sentences.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

ALPHA = 0.05  # the probability of any false positive among the comparisons of a split
DRAWS = 2000  # of the bootstrap
SWAPS = 10_000  # of the randomisation test
_BLOCK = 100  # draws whose sums are computed at a time
_MIN_SEEDS = 3  # from which the interaction of seeds and sentences can be estimated

Runs = Sequence[np.ndarray]  # statistics [sentences, features] of each seed
Score = Callable[[np.ndarray], np.ndarray]  # sums of statistics [..., features] → scores [...]


class Comparison(NamedTuple):
    """A system compared with a base."""

    difference: float  # of the mean scores over seeds
    standard_error: float
    degrees_of_freedom: float
    p: float  # of this comparison
    p_adjusted: float  # corrected by Holm's method for all comparisons
    half_width: float  # of the interval; it excludes zero exactly if p_adjusted < ALPHA
    seeds: tuple[int, int]  # of the base and of the system
    seeds_tested: bool  # False: nothing is known about the variance between seeds

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is below `ALPHA`."""
        return self.p_adjusted < ALPHA


class SeedVariance(NamedTuple):
    """The variance of a score between seeds of one system; None if no system has two seeds."""

    value: float
    degrees_of_freedom: float


def compare(base: Runs, systems: Mapping[str, Runs], score: Score, seed: int = 0) -> dict[str, Comparison]:
    """Compares each system with the base; all have translated the same sentences.

    Args:
      base: statistics of each seed of the base, [sentences, features].
      systems: the same of each system, by name. The numbers of seeds may differ.
      score: computes scores from summed statistics.
      seed: of the bootstrap.

    Raises:
      ValueError: a system has no seeds, or other sentences than the base.
    """
    runs = [base, *systems.values()]
    if not all(runs):
        raise ValueError("a system without seeds cannot be compared")
    sentences = len(base[0])
    if {len(statistics) for seeds in runs for statistics in seeds} != {sentences}:
        raise ValueError("systems that translated different numbers of sentences cannot be compared")
    values = [np.array([score(statistics.sum(axis=0)) for statistics in seeds], float) for seeds in runs]
    resampled = _bootstrap(runs, score, seed)
    seed_variances = shrink_variances(values)
    rows = {
        name: _difference(
            [values[0], values[index]],
            [resampled[0], resampled[index]],
            [seed_variances[0], seed_variances[index]],
            sentences,
        )
        for index, name in enumerate(systems, 1)
    }
    return _with_intervals(rows, {name: (len(base), len(seeds)) for name, seeds in systems.items()})


def shrink_variances(values: Sequence[np.ndarray]) -> list[SeedVariance | None]:
    """Returns the variance over seeds of each system, shrunk towards those of all systems.

    The prior's variance and degrees of freedom come from the distribution of the logarithms of all variances (Smyth
    2004, Section 6.2). A system with one seed has the prior's variance. The degrees of freedom are never more than
    those of all systems in total.

    Args:
      values: scores of the seeds of each system, [seeds].
    """
    freedoms = np.array([len(seeds) - 1 for seeds in values], float)
    if not (freedoms > 0).any():
        return [None] * len(values)
    variances = np.array([seeds.var(ddof=1) if len(seeds) > 1 else 0.0 for seeds in values])
    known = freedoms > 0
    prior, prior_freedom = _prior(variances[known], freedoms[known])
    total = freedoms.sum()
    shrunk = []
    for variance, freedom in zip(variances, freedoms, strict=True):
        weight = prior_freedom / (prior_freedom + freedom) if math.isfinite(prior_freedom) else 1.0
        value = max(variance, weight * prior + (1 - weight) * variance)
        shrunk.append(SeedVariance(float(value), float(min(prior_freedom + freedom, total))))
    return shrunk


def _prior(variances: np.ndarray, freedoms: np.ndarray) -> tuple[float, float]:
    """Returns the prior variance and its degrees of freedom, by the moments of log variances."""
    from scipy.special import digamma, polygamma

    pooled = float((variances * freedoms).sum() / freedoms.sum())
    if len(variances) == 1 or pooled == 0:
        return pooled, float(freedoms.sum()) if pooled == 0 else 0.0
    floor = 1e-5 * float(np.median(variances[variances > 0]))  # the logarithm of zero is undefined
    residuals = np.log(np.maximum(variances, floor)) - digamma(freedoms / 2) + np.log(freedoms / 2)
    excess = residuals.var(ddof=1) - polygamma(1, freedoms / 2).mean()
    # Without more spread than chance gives, all systems have one variance, whose best estimate is the pooled one.
    if excess <= 0:
        return pooled, math.inf
    freedom = 2 * _inverse_trigamma(float(excess))
    return float(np.exp(residuals.mean() + digamma(freedom / 2) - np.log(freedom / 2))), freedom


def _inverse_trigamma(value: float) -> float:
    """Returns x with trigamma(x) = value, by Newton's method on 1 / trigamma, which is nearly linear."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-8 * x:
            break
    return x


def _bootstrap(runs: Sequence[Runs], score: Score, seed: int) -> list[np.ndarray]:
    """Returns scores of each system, [draws, seeds]; a draw takes the same sentences for every run."""
    sentences, random = len(runs[0][0]), np.random.default_rng(seed)
    statistics = np.stack([run for seeds in runs for run in seeds], axis=1).astype(np.float64)
    features = statistics.reshape(sentences, -1)
    scores = []
    for _ in range(0, DRAWS, _BLOCK):
        counts = random.multinomial(sentences, np.full(sentences, 1 / sentences), size=_BLOCK)
        sums = (counts.astype(np.float64) @ features).reshape(_BLOCK, *statistics.shape[1:])
        scores.append(score(sums))
    ends = np.cumsum([len(seeds) for seeds in runs])[:-1]
    return np.split(np.concatenate(scores), ends, axis=1)


def _difference(
    values: Sequence[np.ndarray],
    resampled: Sequence[np.ndarray],
    seed_variances: Sequence[SeedVariance | None],
    sentences: int,
) -> tuple[float, float, float, float]:
    """Returns the difference, its standard error and degrees of freedom, and the p-value.

    Args:
      values: scores of the base and of the system, each [seeds].
      resampled: their scores by draw, each [draws, seeds].
      seed_variances: their variances over seeds.
      sentences: number of sentences.
    """
    from scipy import stats

    difference = float(values[1].mean() - values[0].mean())
    means = [scores.mean(axis=1) for scores in resampled]
    of_sentences = float((means[1] - means[0]).var(ddof=1))
    if min(map(len, values)) >= _MIN_SEEDS:
        of_sentences = max(0.0, of_sentences - sum(map(_interaction, resampled)))
    parts = [(of_sentences, sentences - 1.0)]
    for scores, variance in zip(values, seed_variances, strict=True):
        if variance is not None:
            parts.append((variance.value / len(scores), variance.degrees_of_freedom))
    total = sum(variance for variance, _ in parts)
    if sentences == 1 or total <= 1e-24 * max(1.0, difference**2):
        # One sentence, or runs that all differ equally, have no spread from which to judge a difference.
        return difference, 0.0, 0.0, 1.0
    freedom = total**2 / sum(variance**2 / freedom for variance, freedom in parts if variance)
    error = math.sqrt(total)
    return difference, error, freedom, float(2 * stats.t.sf(abs(difference) / error, freedom))


def _interaction(scores: np.ndarray) -> float:
    """Returns the part of the bootstrap's variance that is the interaction of seeds and sentences: [draws, seeds]."""
    seeds = scores.shape[1]
    deviations = scores - scores.mean(axis=1, keepdims=True)
    return float(deviations.var(axis=0, ddof=1).sum() / (seeds - 1) / seeds)


def _with_intervals(
    rows: Mapping[str, tuple[float, float, float, float]], seeds: Mapping[str, tuple[int, int]]
) -> dict[str, Comparison]:
    """Adds corrected p-values, and intervals at the level at which Holm's method tests each difference."""
    from scipy import stats

    adjusted = holm({name: p for name, (*_, p) in rows.items()})
    comparisons = {}
    for name, (difference, error, freedom, p) in rows.items():
        level = ALPHA * p / adjusted[name] if adjusted[name] > 0 else ALPHA / len(rows)
        half_width = float(stats.t.isf(level / 2, freedom)) * error if error else math.inf if difference else 0.0
        tested = max(seeds[name]) > 1
        comparisons[name] = Comparison(difference, error, freedom, p, adjusted[name], half_width, seeds[name], tested)
    return comparisons


def randomization_p(base: np.ndarray, system: np.ndarray, score: Score, seed: int = 0) -> float:
    """Returns the p-value of approximate randomisation between two runs; Riezler and Maxwell 2005.

    Each trial swaps the translations of a random half of the sentences. A trial that gives an equal difference counts
    as at least as extreme.

    Args:
      base: statistics of the first run, [sentences, features].
      system: the same of the second.
      score: computes scores from summed statistics.
      seed: of the swaps.
    """
    random, sentences = np.random.default_rng(seed), len(base)
    totals, changes = (base.sum(axis=0), system.sum(axis=0)), (system - base).astype(np.float64)
    observed = abs(float(score(totals[1]) - score(totals[0])))
    extreme = 0
    for _ in range(0, SWAPS, _BLOCK):
        swapped = random.integers(0, 2, (_BLOCK, sentences)).astype(np.float64) @ changes
        differences = np.abs(score(totals[1] - swapped) - score(totals[0] + swapped))
        extreme += int((differences >= observed - 1e-9).sum())
    return (extreme + 1) / (SWAPS + 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusts p-values for multiple comparisons: bounds the probability of any false positive; Holm 1979."""
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
