"""Confidence interval of a mean over a few seeds."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


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
