"""Which pairs share a shape, such that batches come out full.

A pair belongs into the narrowest shape that holds it. Of what is left over in a shape after its last full batch, those
pairs that lose least by it move on to a wider shape, so that on the way from narrow to wide the leftovers gather in
few batches. Where a last batch would be nearly full anyway, all batches of that shape get a few rows less instead. All
of it depends on the corpus alone, not on the epoch: a pair has one shape, and every epoch has the same number of
batches.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from transformer.data.batches.bucket_shapes import (
    BucketBound,
    Cells,
    Shape,
    ascending,
    choose_corners,
    neighbours,
    rows_of,
)

# Lengths told apart per side when shapes are chosen; those of a longer corpus are counted in units of several tokens.
_FINEST = 128
# Share of the rows in the token budget that a shape may be reduced to for want of pairs.
_SHORTEST_BATCH = 0.9
# Batches per shape above which whole batches come out by themselves, so that tuning is not worth its time.
_TUNED_BATCHES = 64
# Trials × places of tuning: some three seconds at most. Multi30k, twelve shapes, needs up to 400,000.
_TUNING_WORK = 600_000
_STRETCH = 1 << 20  # pairs counted at a time
_TABLE = 1 << 22  # places that are counted in a table: 32 MiB


@dataclasses.dataclass(frozen=True)
class BucketAssignment:
    """The shapes, and the pairs of each: `members[b]` (ascending) fill `batches[b]` batches of `shapes[b]`."""

    shapes: tuple[Shape, ...]
    members: tuple[np.ndarray, ...]
    batches: tuple[int, ...]


def assign(
    lengths: tuple[np.ndarray, np.ndarray],
    tokens_per_batch: int,
    buckets: int,
    row_multiple: int = 8,
    width_multiple: int = 1,
) -> BucketAssignment:
    """Chooses at most `buckets` shapes for pairs of these (source, target) `lengths` and allots every pair to one.

    rows × wider side of a shape is at most `tokens_per_batch`, rows a multiple of `row_multiple`, both widths multiples
    of `width_multiple`. A corpus of few batches gets fewer shapes.

    Raises:
      ValueError: `tokens_per_batch` does not hold `row_multiple` of the longest sentences.
    """
    widest = [_rounded_up(int(side.max()), width_multiple) for side in lengths]
    unit = width_multiple * -(-max(widest) // (_FINEST * width_multiple))
    places, place_of_pair = histogram(lengths, unit)

    def rows(corner: BucketBound) -> int:
        source, target = (min(units * unit, bound) for units, bound in zip(corner, widest, strict=True))
        return rows_of((source, target), tokens_per_batch, row_multiple)

    corners = choose_corners(places, buckets)
    if len(corners) > 1 and len(place_of_pair) < _TUNED_BATCHES * sum(map(rows, corners)):
        corners = _tuned(places, corners, rows, row_multiple)
    shapes = [Shape(rows(corner), *corner) for corner in corners]
    counts, batches = balance(places, shapes, row_multiple)
    members = _distributed(place_of_pair, counts)
    used = [b for b, member in enumerate(members) if len(member)]
    final = tuple(
        Shape(
            reduced_rows(len(members[b]), batches[b], row_multiple),
            *(_rounded_up(int(side[members[b]].max()), width_multiple) for side in lengths),
        )
        for b in used
    )
    return BucketAssignment(final, tuple(members[b] for b in used), tuple(batches[b] for b in used))


def allot_to(lengths: tuple[np.ndarray, np.ndarray], shapes: Sequence[Shape]) -> BucketAssignment:
    """Allots pairs to given shapes, some of which may stay without; raises ValueError when a pair fits none."""
    places, place_of_pair = histogram(lengths, 1)
    ordered = sorted(shapes, key=lambda shape: (shape.source + shape.target, shape))
    homeless = np.logical_and.reduce([(places.source > s) | (places.target > t) for _, s, t in ordered])
    if homeless.any():
        place = int(homeless.argmax())
        raise ValueError(
            f"a pair of {places.source[place]} and {places.target[place]} tokens fits none of {len(ordered)} shapes"
        )
    counts, batches = balance(places, ordered, None)
    return BucketAssignment(tuple(ordered), tuple(_distributed(place_of_pair, counts)), tuple(batches))


def balance(places: Cells, shapes: Sequence[Shape], row_multiple: int | None) -> tuple[np.ndarray, list[int]]:
    """Pairs of each place in each shape [place, shape], and batches of each shape; `shapes` ascend in width.

    What is left over after a shape's full batches moves on, unless a further batch has fewer cells to spare. With a
    `row_multiple`, all of a shape's batches may be made a little shorter, which leaves a further batch little to spare.
    """
    widths = np.stack([places.widths((shape.source, shape.target)) for shape in shapes], axis=1)
    counts = np.zeros(widths.shape, np.int64)
    counts[np.arange(len(widths)), widths.argmin(1)] = places.pairs
    batches = []
    for number, shape in enumerate(shapes):
        pairs = int(counts[:, number].sum())
        full, left = divmod(pairs, shape.rows)
        if left and number + 1 < len(shapes):
            rows = shape.rows if row_multiple is None else reduced_rows(pairs, full + 1, row_multiple)
            if rows < _SHORTEST_BATCH * shape.rows:
                rows = shape.rows
            here = np.flatnonzero(counts[:, number])
            destination = number + 1 + widths[here, number + 1 :].argmin(1)
            cost = widths[here, destination] - widths[here, number]
            taken = _cheapest(counts[here, number], cost, left)
            if (taken * cost).sum() < (rows * (full + 1) - pairs) * (shape.source + shape.target):
                counts[here, number] -= taken
                counts[here, destination] += taken  # each place once, so no addition is lost
                left = 0
        batches.append(full + (left > 0))
    return counts, batches


def _cheapest(pairs: np.ndarray, cost: np.ndarray, wanted: int) -> np.ndarray:
    """How many pairs to take at each place, `wanted` in all, where a pair costs least."""
    order = np.argsort(cost, kind="stable")
    before = np.cumsum(pairs[order]) - pairs[order]
    taken = np.zeros(len(pairs), np.int64)
    taken[order] = np.clip(wanted - before, 0, pairs[order])
    return taken


def _tuned(
    places: Cells, corners: list[BucketBound], rows: Callable[[BucketBound], int], row_multiple: int
) -> list[BucketBound]:
    """Moves corners so that the shapes' numbers of pairs come near whole batches, as long as that saves cells."""

    def cells(candidate: list[BucketBound]) -> int:
        shapes = [Shape(rows(corner), *corner) for corner in ascending(candidate)]
        counts, batches = balance(places, shapes, row_multiple)
        return sum(
            number * shape._replace(rows=reduced_rows(size, number, row_multiple)).cells
            for size, number, shape in zip(counts.sum(0).tolist(), batches, shapes, strict=True)
            if number
        )

    corners, least, improving = list(corners), cells(corners), True
    trials = _TUNING_WORK // len(places.pairs)
    while improving and trials > 0:
        improving = False
        for index in range(len(corners) - 1):
            for corner in neighbours(corners[index], corners[-1]):
                candidate = [*corners[:index], corner, *corners[index + 1 :]]
                trials -= 1
                if trials > 0 and (total := cells(candidate)) < least:
                    corners, least, improving = candidate, total, True
    return ascending(corners)


def histogram(lengths: tuple[np.ndarray, np.ndarray], unit: int) -> tuple[Cells, np.ndarray]:
    """The places with pairs, lengths counted in units of `unit` tokens, and each pair's place.

    Counts into a table of all places, a stretch of the pairs at a time: sorting them, as `np.unique` does, takes
    several times the memory of the lengths, and ten times as long. That is left for sentences so long that the table
    would be large.
    """
    source, target = (np.arange(0, side.max() + unit, dtype=np.int64) for side in lengths)
    source, target = -(-source // unit), -(-target // unit)  # units of each length
    span = int(target.max()) + 1
    if (int(source.max()) + 1) * span > _TABLE:
        keys, place_of_pair, pairs = np.unique(
            source[lengths[0]] * span + target[lengths[1]], return_inverse=True, return_counts=True
        )
        return Cells(keys // span, keys % span, pairs), place_of_pair
    table = np.zeros((int(source.max()) + 1) * span, np.int64)

    def stretches() -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(lengths[0]), _STRETCH):
            part = slice(start, start + _STRETCH)
            yield part, source[lengths[0][part]] * span + target[lengths[1][part]]

    for _, found in stretches():
        table += np.bincount(found, minlength=len(table))
    keys = np.flatnonzero(table)
    number = np.zeros(len(table), np.uint16 if len(keys) <= 1 << 16 else np.int32)
    number[keys] = np.arange(len(keys))
    place_of_pair = np.empty(len(lengths[0]), number.dtype)
    for part, found in stretches():
        place_of_pair[part] = number[found]
    return Cells(keys // span, keys % span, table[keys]), place_of_pair


def _distributed(place_of_pair: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """The pairs of each shape, ascending: at a place the first `counts[place, 0]` go into shape 0, and so on."""
    shape_of_pair = counts.argmax(1).astype(np.int16)[place_of_pair]
    # Only at few places do pairs go into several shapes, so that only few need to be sorted.
    divided = np.flatnonzero((np.count_nonzero(counts, axis=1) > 1)[place_of_pair])
    by_place = divided[np.argsort(place_of_pair[divided], kind="stable")]
    several = counts[np.count_nonzero(counts, axis=1) > 1]
    shape_of_pair[by_place] = np.repeat(np.tile(np.arange(counts.shape[1]), len(several)), several.ravel())
    return [np.flatnonzero(shape_of_pair == number).astype(np.int32) for number in range(counts.shape[1])]


def reduced_rows(pairs: int, batches: int, row_multiple: int) -> int:
    """Fewest rows, a multiple of `row_multiple`, that hold `pairs` in `batches` batches."""
    return _rounded_up(-(-pairs // batches), row_multiple)


def _rounded_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
