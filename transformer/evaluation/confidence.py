"""Confidence intervals of a mean over a few seeds, and of a ratio of two means over many sentences."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Mean(NamedTuple):
    """A mean and half the width of its 95 % confidence interval; None for a single value."""

    value: float
    half_width: float | None
    seeds: int


def mean(values: Sequence[float]) -> Mean:
    """Returns the mean with Student's interval, t(n - 1) · s / √n: seeds are few, and their variance is unknown.

    Raises:
      ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values: the mean is undefined")
    size = len(values)
    if size == 1:
        return Mean(values[0], None, 1)
    from scipy import stats  # slow to import

    quantile = float(stats.t.ppf(0.975, size - 1))
    return Mean(statistics.fmean(values), quantile * statistics.stdev(values) / math.sqrt(size), size)


def ratio_of_means(numerators: np.ndarray, denominators: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns Σ numerators / Σ denominators over the last axis, and half the width of its 95 % confidence interval.

    The interval is that of the linearised ratio (Cochran 1977, Section 2.11). Unlike a mean of ratios, the ratio of the
    means does not depend much on small denominators. Items whose numerator is NaN are left out.

    Args:
      numerators: [..., items].
      denominators: [items].
    """
    valid = ~np.isnan(numerators)
    size = valid.sum(axis=-1)
    numerators, denominators = np.where(valid, numerators, 0), np.where(valid, denominators, 0)
    total = denominators.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = numerators.sum(axis=-1) / total
        residuals = np.where(valid, numerators - ratio[..., None] * denominators, 0)
        deviation = np.sqrt(np.square(residuals).sum(axis=-1) * size / (size - 1))
        return ratio, 1.96 * deviation / np.abs(total)
