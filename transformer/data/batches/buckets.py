"""Assigns pairs to buckets such that batches are full.

A pair belongs to the narrowest bucket that it fits into. The pairs that remain after the last full batch of a bucket
are left over. Those that lose the fewest cells move on to a wider bucket, so that from narrow to wide the leftovers
gather in few batches. Where the last batch would be nearly full, all batches of the bucket get fewer rows instead. The
assignment depends only on the corpus, not on the epoch: a pair stays in its bucket, and every epoch has the same number
of batches.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from transformer.data.batches import bucket_shapes
from transformer.data.batches.bucket_shapes import BatchShape, BucketBound, LengthHistogram, sort_bounds

# Distinct lengths of a side when bounds are chosen. Longer sentences are counted in units of several tokens.
_FINEST = 128
# The smallest fraction of the rows in the token budget that a bucket with too few pairs may be reduced to.
_SHORTEST_BATCH = 0.9
# Batches per bucket above which tuning is skipped, because the last batch of a bucket no longer matters.
_TUNED_BATCHES = 64
# Limit of trials × bins in tuning: about three seconds. Multi30k with twelve buckets needs up to 400,000.
_TUNING_WORK = 600_000
_CHUNK = 1 << 20  # pairs counted at a time
_TABLE = 1 << 22  # largest dense table of counts: 32 MiB


@dataclasses.dataclass(frozen=True)
class BucketAssignment:
    """The buckets and their pairs: `members[b]` (ascending) fill `batches[b]` batches of shape `shapes[b]`."""

    shapes: tuple[BatchShape, ...]
    members: tuple[np.ndarray, ...]
    batches: tuple[int, ...]


def assign(
    lengths: tuple[np.ndarray, np.ndarray],
    tokens_per_batch: int,
    buckets: int,
    row_multiple: int = 8,
    width_multiple: int = 1,
) -> BucketAssignment:
    """Chooses buckets for a corpus and assigns every pair to one of them.

    Args:
      lengths: source lengths and target lengths of the pairs, in tokens.
      tokens_per_batch: limit of rows × wider side of a batch.
      buckets: the maximum number of buckets; a corpus of few batches gets fewer.
      row_multiple: the number of rows of a batch is a multiple of this.
      width_multiple: both widths of a batch are multiples of this.

    Raises:
      ValueError: `row_multiple` of the longest sentences exceed `tokens_per_batch`.
    """
    widest = [_rounded_up(int(side.max()), width_multiple) for side in lengths]
    unit = width_multiple * -(-max(widest) // (_FINEST * width_multiple))
    histogram, bin_of_pair = length_histogram(lengths, unit)

    def rows(bound: BucketBound) -> int:
        source, target = (min(units * unit, limit) for units, limit in zip(bound, widest, strict=True))
        return bucket_shapes.rows_within((source, target), tokens_per_batch, row_multiple)

    bounds = bucket_shapes.choose_bounds(histogram, buckets)
    if len(bounds) > 1 and len(bin_of_pair) < _TUNED_BATCHES * sum(map(rows, bounds)):
        bounds = _tune_bounds(histogram, bounds, rows, row_multiple)
    shapes = [BatchShape(rows(bound), *bound) for bound in bounds]
    counts, batches = balance(histogram, shapes, row_multiple)
    members = _split_bins(bin_of_pair, counts)
    nonempty = [(pairs, number) for pairs, number in zip(members, batches, strict=True) if len(pairs)]
    final = []
    for pairs, number in nonempty:
        widths = [_rounded_up(int(side[pairs].max()), width_multiple) for side in lengths]
        final.append(BatchShape(reduced_rows(len(pairs), number, row_multiple), *widths))
    members, batches = zip(*nonempty, strict=True)
    return BucketAssignment(tuple(final), members, batches)


def assign_to(lengths: tuple[np.ndarray, np.ndarray], shapes: Sequence[BatchShape]) -> BucketAssignment:
    """Assigns pairs to buckets of the given shapes, which may stay empty; raises ValueError if a pair fits none."""
    histogram, bin_of_pair = length_histogram(lengths, 1)
    ordered = sorted(shapes, key=lambda shape: (shape.source + shape.target, shape))
    unassigned = np.logical_and.reduce([(histogram.source > s) | (histogram.target > t) for _, s, t in ordered])
    if unassigned.any():
        source, target, _ = (column[unassigned.argmax()] for column in histogram)
        raise ValueError(f"a pair of {source} and {target} tokens fits none of {len(ordered)} shapes")
    counts, batches = balance(histogram, ordered, None)
    return BucketAssignment(tuple(ordered), tuple(_split_bins(bin_of_pair, counts)), tuple(batches))


def balance(
    histogram: LengthHistogram, shapes: Sequence[BatchShape], row_multiple: int | None
) -> tuple[np.ndarray, list[int]]:
    """Returns the number of pairs of each bin in each bucket, [bins, buckets], and the batches of each bucket.

    The pairs left over after a bucket's full batches move to wider buckets, unless one more batch wastes fewer cells.

    Args:
      histogram: the lengths of the pairs.
      shapes: of the buckets, ascending in width.
      row_multiple: None for fixed shapes. Otherwise all batches of a bucket may get fewer rows, a multiple of this, so
        that one more batch wastes fewer cells.
    """
    widths = np.stack([histogram.widths((shape.source, shape.target)) for shape in shapes], axis=1)
    counts = np.zeros(widths.shape, np.int64)
    counts[np.arange(len(widths)), widths.argmin(1)] = histogram.pairs
    batches = []
    for bucket, shape in enumerate(shapes):
        pairs = int(counts[:, bucket].sum())
        full, remaining = divmod(pairs, shape.rows)
        if remaining and bucket + 1 < len(shapes):
            rows = shape.rows if row_multiple is None else reduced_rows(pairs, full + 1, row_multiple)
            if rows < _SHORTEST_BATCH * shape.rows:
                rows = shape.rows
            occupied = np.flatnonzero(counts[:, bucket])
            destination = bucket + 1 + widths[occupied, bucket + 1 :].argmin(1)
            cost = widths[occupied, destination] - widths[occupied, bucket]
            taken = _cheapest(counts[occupied, bucket], cost, remaining)
            if (taken * cost).sum() < (rows * (full + 1) - pairs) * (shape.source + shape.target):
                counts[occupied, bucket] -= taken
                counts[occupied, destination] += taken  # indices are unique, so no addition is lost
                remaining = 0
        batches.append(full + (remaining > 0))
    return counts, batches


def _cheapest(pairs: np.ndarray, cost: np.ndarray, count: int) -> np.ndarray:
    """Returns how many pairs to take from each bin, `wanted` in all, cheapest first."""
    order = np.argsort(cost, kind="stable")
    before = np.cumsum(pairs[order]) - pairs[order]
    taken = np.zeros(len(pairs), np.int64)
    taken[order] = np.clip(count - before, 0, pairs[order])
    return taken


def _tune_bounds(
    histogram: LengthHistogram, bounds: list[BucketBound], rows: Callable[[BucketBound], int], row_multiple: int
) -> list[BucketBound]:
    """Moves bounds, as long as that saves cells, so that the pairs of each bucket nearly fill its batches."""

    def cells(candidate: list[BucketBound]) -> int:
        shapes = [BatchShape(rows(bound), *bound) for bound in sort_bounds(candidate)]
        counts, batches = balance(histogram, shapes, row_multiple)
        return sum(
            number * shape._replace(rows=reduced_rows(size, number, row_multiple)).cells
            for size, number, shape in zip(counts.sum(0).tolist(), batches, shapes, strict=True)
            if number
        )

    bounds, fewest, improving = list(bounds), cells(bounds), True
    trials = _TUNING_WORK // len(histogram.pairs)
    while improving and trials > 0:
        improving = False
        for index in range(len(bounds) - 1):
            for bound in bucket_shapes.neighbours(bounds[index], bounds[-1]):
                candidate = [*bounds[:index], bound, *bounds[index + 1 :]]
                trials -= 1
                if trials > 0 and (total := cells(candidate)) < fewest:
                    bounds, fewest, improving = candidate, total, True
    return sort_bounds(bounds)


def length_histogram(lengths: tuple[np.ndarray, np.ndarray], unit: int) -> tuple[LengthHistogram, np.ndarray]:
    """Returns the histogram of the lengths, in units of `unit` tokens, and the index of each pair's bin.

    Counts into a dense table, a chunk of the pairs at a time. Sorting, as `np.unique` does, takes several times
    the memory of the lengths and ten times as long. It is used only if sentences are so long that the table would be
    large.
    """
    source, target = (np.arange(0, side.max() + unit, dtype=np.int64) for side in lengths)
    source, target = -(-source // unit), -(-target // unit)  # units of each length
    span = int(target.max()) + 1
    if (int(source.max()) + 1) * span > _TABLE:
        keys = source[lengths[0]] * span + target[lengths[1]]
        keys, bin_of_pair, pairs = np.unique(keys, return_inverse=True, return_counts=True)
        return LengthHistogram(keys // span, keys % span, pairs), bin_of_pair
    table = np.zeros((int(source.max()) + 1) * span, np.int64)

    def chunks() -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(lengths[0]), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield part, source[lengths[0][part]] * span + target[lengths[1][part]]

    for _, indices in chunks():
        table += np.bincount(indices, minlength=len(table))
    keys = np.flatnonzero(table)
    bin_number = np.zeros(len(table), np.uint16 if len(keys) <= 1 << 16 else np.int32)
    bin_number[keys] = np.arange(len(keys))
    bin_of_pair = np.empty(len(lengths[0]), bin_number.dtype)
    for part, indices in chunks():
        bin_of_pair[part] = bin_number[indices]
    return LengthHistogram(keys // span, keys % span, table[keys]), bin_of_pair


def _split_bins(bin_of_pair: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """Returns the pairs of each bucket, ascending: of bin i, the first `counts[i, 0]` go into bucket 0, and so on."""
    bucket_of_pair = counts.argmax(1).astype(np.int16)[bin_of_pair]
    # The pairs of few bins are split among several buckets, so that few pairs need to be sorted.
    is_split = np.count_nonzero(counts, axis=1) > 1
    divided = np.flatnonzero(is_split[bin_of_pair])
    by_bin = divided[np.argsort(bin_of_pair[divided], kind="stable")]
    split_counts = counts[is_split]
    bucket_of_pair[by_bin] = np.repeat(np.tile(np.arange(counts.shape[1]), len(split_counts)), split_counts.ravel())
    return [np.flatnonzero(bucket_of_pair == number).astype(np.int32) for number in range(counts.shape[1])]


def reduced_rows(pairs: int, batches: int, row_multiple: int) -> int:
    """Returns the smallest multiple of `row_multiple` rows with which `batches` batches hold `pairs` pairs."""
    return _rounded_up(-(-pairs // batches), row_multiple)


def _rounded_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
