"""Batches that visit every sentence once, in a fixed order: for the validation loss and for translation."""

import sys
from collections.abc import Iterator, Sequence

import numpy as np

from transformer.data.batches.bucket_shapes import BatchShape
from transformer.data.batches.buckets import assign_to
from transformer.data.token_dataset import Batch, TokenizedPairs
from transformer.padding import padded_width
from transformer.spec import EOS, PAD


def ordered_batches(
    pairs: TokenizedPairs,
    tokens_per_batch: int,
    shapes: Sequence[BatchShape],
    row_multiple: int = 8,
    max_width: int | None = None,
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Yields (indices, batch) such that every pair occurs once, bucket by bucket, in order within a bucket.

    Args:
      pairs: the pairs.
      tokens_per_batch: limit of rows × width for the extra shapes, as far as `row_multiple` allows.
      shapes: preferred shapes, for example those of the training plan. Pairs too long for all of them get extra shapes,
        whose two widths are the same power of two, with at least `row_multiple` rows.
      row_multiple: the rows of an extra shape are a multiple of this.
      max_width: bounds the widths of extra shapes; no pair is longer. None: no bound.

    Yields:
      The index in `pairs` of each row, -1 for a row of padding, and the batch.
    """
    source, target = pairs.lengths
    unassigned = np.ones(len(pairs), bool)
    for shape in shapes:
        unassigned &= (source > shape.source) | (target > shape.target)
    extra = [
        BatchShape(max(row_multiple, tokens_per_batch // width // row_multiple * row_multiple), width, width)
        for width in sorted({_width(int(length), max_width) for length in np.maximum(source, target)[unassigned]})
    ]
    assignment = assign_to((source, target), [*shapes, *extra])
    for shape, members in zip(assignment.shapes, assignment.members, strict=True):
        for start in range(0, len(members), shape.rows):
            chunk = members[start : start + shape.rows]
            indices = np.concatenate([chunk, np.full(shape.rows - len(chunk), -1)])
            yield indices, pairs.batch(indices, shape.source, shape.target)


def source_batches(
    sentences_ids: Sequence[Sequence[int]],
    batch_size: int,
    num_shards: int = 1,
    max_tokens: int | None = None,
    row_multiple: int = 1,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Groups sentences for translation, widths from narrow to wide, and the longest sentences of a width first.

    The width S of a sentence is `padded_width` of its own length, and all batches of a width have the same number of
    rows. The translation of a sentence therefore cannot depend on the other sentences of its batch.

    Args:
      sentences_ids: token ids of each sentence, without EOS, which this function appends.
      batch_size: rows of a batch, at most.
      num_shards: number of equal parts of the rows, to which sentences are dealt in turn, so that the devices that
        share a batch have equal work.
      max_tokens: limit of rows × S, as far as `row_multiple` allows; None: no limit.
      row_multiple: where `max_tokens` lowers the rows, they are a multiple of this, which `num_shards` divides.

    Returns:
      A list of (indices, source), with source int32 [rows, S]. `indices` are positions in `sentences_ids`, or -1
      for rows of PAD, as in the last batch of a width.
    """
    lengths = np.array([len(ids) + 1 for ids in sentences_ids], np.int64)
    widths = np.array([padded_width(int(length)) for length in lengths], np.int64)
    batches = []
    for width in np.unique(widths):
        group = np.flatnonzero(widths == width)
        group = group[np.argsort(-lengths[group], kind="stable")]
        rows = batch_size
        if max_tokens is not None and rows * width > max_tokens:
            rows = max(row_multiple, max_tokens // int(width) // row_multiple * row_multiple)
        row_order = np.arange(rows).reshape(num_shards, -1).T.ravel()
        for start in range(0, len(group), rows):
            indices, source_BS = np.full(rows, -1), np.full((rows, width), PAD, np.int32)
            for row, index in zip(row_order, group[start : start + rows], strict=False):
                indices[row] = index
                source_BS[row, : lengths[index]] = (*sentences_ids[index], EOS)
            batches.append((indices, source_BS))
    return batches


def _width(length: int, max_width: int | None) -> int:
    """Returns the next power of two, or `max_width` if that is less."""
    return min(1 << (length - 1).bit_length(), max_width or sys.maxsize)
