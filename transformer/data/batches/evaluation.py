"""Batches that visit every sentence once, without chance: for validation loss and for translation."""

from collections.abc import Iterator, Sequence

import numpy as np

from transformer.data.batches.bucket_shapes import Shape
from transformer.data.batches.buckets import allot_to
from transformer.data.token_dataset import Batch, TokenizedPairs
from transformer.spec import EOS, PAD

_NARROWEST = 16  # tokens; width of the source in a search for short sentences


def ordered_batches(
    pairs: TokenizedPairs, tokens_per_batch: int, shapes: Sequence[Shape], row_multiple: int = 8
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Yields (indices, batch) such that every pair occurs once, shape by shape and in order within a shape.

    Uses `shapes`, such as some of the training plan's. Pairs too long for all of them get shapes of
    their own whose two widths are equal and a power of two, with rows for `tokens_per_batch` and at least
    `row_multiple`. `indices` are positions in `pairs`, one a row; -1 marks a row that fills the batch up.
    """
    source, target = pairs.lengths
    homeless = np.ones(len(pairs), bool)
    for shape in shapes:
        homeless &= (source > shape.source) | (target > shape.target)
    extra = [
        Shape(max(row_multiple, tokens_per_batch // width // row_multiple * row_multiple), width, width)
        for width in sorted({_power_of_two(int(length)) for length in np.maximum(source, target)[homeless]})
    ]
    allotment = allot_to((source, target), [*shapes, *extra])
    for shape, members in zip(allotment.shapes, allotment.members, strict=True):
        for start in range(0, len(members), shape.rows):
            chosen = members[start : start + shape.rows]
            indices = np.concatenate([chosen, np.full(shape.rows - len(chosen), -1)])
            yield indices, pairs.batch(indices, shape.source, shape.target)


def source_batches(
    sentences_ids: Sequence[Sequence[int]], batch_size: int, parts: int = 1
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Groups sentences for translation: a list of (indices, source int32 [batch_size, S]), shortest first.

    `sentences_ids` are without EOS, which is added here. A sentence's S is `grid_width` of its own length, whatever its
    neighbours are, and there are always `batch_size` rows: its translation then cannot depend on the company it is in.
    `indices` are positions in `sentences_ids`, or -1 of rows that are PAD, as in the last batch of a width. Sentences
    are dealt out in turn to `parts` equal parts of the rows, so that devices that share them have as much to do.
    """
    places = np.arange(batch_size).reshape(parts, -1).T.ravel()
    lengths = np.array([len(ids) + 1 for ids in sentences_ids], np.int64)
    widths = np.array([grid_width(int(length)) for length in lengths], np.int64)
    found = []
    for width in np.unique(widths):
        group = np.flatnonzero(widths == width)
        group = group[np.argsort(lengths[group], kind="stable")]
        for start in range(0, len(group), batch_size):
            indices, rows = np.full(batch_size, -1), np.full((batch_size, width), PAD, np.int32)
            for row, index in zip(places, group[start : start + batch_size], strict=False):
                indices[row] = index
                rows[row, : lengths[index]] = (*sentences_ids[index], EOS)
            found.append((indices, rows))
    return found


def grid_width(length: int) -> int:
    """The smallest power of two, 16 at least, that is not less than `length`.

    Few widths, because a search is compiled for each, which takes longer than what the padding costs: in a search the
    source is read once, and its width shortens none of the steps.
    """
    return max(_NARROWEST, _power_of_two(length))


def _power_of_two(length: int) -> int:
    return 1 << (length - 1).bit_length()
