"""Chooses the batch widths: a few buckets, each a source width × a target width, with little padding.

A common width for both sides wastes many cells, because a long sentence may have a short translation. Evenly spaced
widths waste cells at the lengths that most sentences have. Therefore the bucket bounds are fitted to the histogram of
(source length, target length): they minimise the cells (tokens and padding of both sides) of the narrowest bucket that
each pair fits into, summed over all pairs. The algorithm inserts one bound at a time and moves all bounds after each
insertion. On Multi30k its efficiency is within 0.1 percentage points of simulated annealing; insertions without moves
are two points below.
"""

from typing import NamedTuple

import numpy as np

BucketBound = tuple[int, int]  # the largest source length and the largest target length of a bucket

_GRID = 32  # candidate lengths on each axis when a bound is inserted; moves by single steps refine it
_OFFSETS = range(-3, 4)
_STEPS = tuple((s, t) for s in _OFFSETS for t in _OFFSETS if 0 in (s, t) or abs(s) == abs(t) == 1)
_NO_FIT = 1 << 30  # cost in cells of a pair that does not fit into a bucket: more than any bucket width


class BatchShape(NamedTuple):
    """Shape of a batch: `rows` sentence pairs, padded to `source` tokens and `target` tokens."""

    rows: int
    source: int
    target: int

    @property
    def cells(self) -> int:
        """Token positions of both sides, padding included."""
        return self.rows * (self.source + self.target)


class LengthHistogram(NamedTuple):
    """A sparse histogram of pair lengths: `pairs[i]` pairs have the lengths (source[i], target[i])."""

    source: np.ndarray
    target: np.ndarray
    pairs: np.ndarray

    def widths(self, bound: BucketBound) -> np.ndarray:
        """Returns the cells that a pair of each bin takes in the bucket; a large number where it does not fit."""
        return np.where((self.source <= bound[0]) & (self.target <= bound[1]), sum(bound), _NO_FIT)


def rows_within(bound: BucketBound, tokens_per_batch: int, row_multiple: int) -> int:
    """Returns the largest multiple of `row_multiple` with rows × wider side <= `tokens_per_batch`.

    Raises:
      ValueError: `row_multiple` rows exceed the budget.
    """
    width = max(bound)
    rows = tokens_per_batch // width // row_multiple * row_multiple
    if not rows:
        raise ValueError(
            f"data.tokens_per_batch: {tokens_per_batch} is less than {row_multiple} rows of {width} tokens "
            f"({row_multiple * width}), which the longest need; raise it, or lower data.max_length or data.packed_width"
        )
    return rows


def choose_bounds(histogram: LengthHistogram, count: int) -> list[BucketBound]:
    """Chooses at most `count` bucket bounds in ascending order; every pair fits into the last one."""
    bounds = [(int(histogram.source.max()), int(histogram.target.max()))]
    grid = [_quantiles(lengths, histogram.pairs) for lengths in (histogram.source, histogram.target)]
    while len(bounds) < count and (added := _best_bound(histogram, grid, bounds)):
        bounds = _moved(histogram, [added, *bounds])
    return sort_bounds(bounds)


def sort_bounds(bounds: list[BucketBound]) -> list[BucketBound]:
    """Sorts bounds by total width, the order in which a pair tries buckets."""
    return sorted(bounds, key=lambda bound: (sum(bound), bound))


def neighbours(bound: BucketBound, limit: BucketBound) -> list[BucketBound]:
    """Returns the bounds at most three steps away on one axis, or one step on both, between (1, 1) and `limit`."""
    moved = [(bound[0] + source, bound[1] + target) for source, target in _STEPS]
    return [new for new in moved if new != bound and 0 < new[0] <= limit[0] and 0 < new[1] <= limit[1]]


def _quantiles(lengths: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Returns quantiles of the lengths, so that candidates are dense where pairs are frequent."""
    counts = np.cumsum(np.bincount(lengths, pairs))
    return np.unique(np.searchsorted(counts, counts[-1] * np.arange(1, _GRID + 1) / _GRID))


def _narrowest(histogram: LengthHistogram, bounds: list[BucketBound]) -> np.ndarray:
    return np.minimum.reduce([histogram.widths(bound) for bound in bounds])


def _best_bound(histogram: LengthHistogram, grid: list[np.ndarray], bounds: list[BucketBound]) -> BucketBound | None:
    """Returns the bound on the grid that saves most cells when added, or None if none saves any."""
    least = _narrowest(histogram, bounds)
    best, most = None, 0
    for source in grid[0].tolist():
        fits = histogram.source <= source
        target_lengths, pairs, now = histogram.target[fits], histogram.pairs[fits], least[fits]
        for target in grid[1].tolist():
            saved = int(((target_lengths <= target) * pairs * np.maximum(now - (source + target), 0)).sum())
            if saved > most:
                best, most = (source, target), saved
    return best


def _moved(histogram: LengthHistogram, bounds: list[BucketBound]) -> list[BucketBound]:
    """Moves every bound except the last as long as a move saves cells."""
    bounds, improving = list(bounds), True
    while improving:
        improving = False
        for index in range(len(bounds) - 1):
            others = _narrowest(histogram, bounds[:index] + bounds[index + 1 :])
            cost = int((histogram.pairs * np.minimum(others, histogram.widths(bounds[index]))).sum())
            for bound in neighbours(bounds[index], bounds[-1]):
                new = int((histogram.pairs * np.minimum(others, histogram.widths(bound))).sum())
                if new < cost:
                    bounds[index], cost, improving = bound, new, True
    return bounds
