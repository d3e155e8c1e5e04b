"""Packs several sentence pairs into a row: rows of one width, nearly full, so that a step has one shape.

Which pairs share a row depends only on the corpus. Many pairs have the same two lengths. Therefore the search does not
index pairs: it finds row patterns, such as "three pairs of 17 and 19 tokens and one of 12 and 9", and how often each
pattern is needed. For tens of millions of pairs this takes little longer than for thousands.

Source: Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination", packs histograms of one length in
  the same way.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from transformer.data.batches.bucket_shapes import LengthHistogram
from transformer.data.batches.buckets import length_histogram
from transformer.data.token_dataset import Batch, TokenizedPairs, TokenizedSide, hash_arrays
from transformer.spec import PAD

_LENGTH_WEIGHT = 0.3  # weight of a pair's length relative to the balance of its sides


@dataclasses.dataclass(frozen=True)
class PackedPairs:
    """Packed rows of several pairs; `plan.BatchPlan` takes them instead of pairs.

    A row is the concatenation of its pairs' tokens, each with its EOS, source and target in the same order.

    Attributes:
      pairs: the tokenized pairs.
      members: the indices of all pairs, row by row; int32.
      starts: row i holds the pairs `members[starts[i] : starts[i + 1]]`.
    """

    pairs: TokenizedPairs
    members: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Source and target tokens of each row, EOS included; int32."""
        first = self.starts[:-1]
        sides = [np.add.reduceat(side[self.members], first, dtype=np.int32) for side in self.pairs.lengths]
        return sides[0], sides[1]

    @property
    def num_pairs(self) -> int:
        """The number of pairs in all rows."""
        return len(self.pairs)

    @property
    def num_tokens(self) -> int:
        """The number of tokens of both sides, EOS included."""
        return self.pairs.num_tokens

    @property
    def dropped(self) -> int:
        """The number of pairs of the split that were left out."""
        return self.pairs.dropped

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pairs' token ids and of the packing, in hexadecimal."""
        return hash_arrays((self.members, self.starts), self.pairs.fingerprint)

    def batch(self, indices: np.ndarray, source: int, target: int) -> Batch:
        """Returns the rows `indices`, padded to `source` and `target` tokens; index -1 gives a row of PAD."""
        counts = np.where(indices >= 0, self.starts[indices + 1] - self.starts[indices], 0)
        members = self.members[_ranges(self.starts[indices], counts)]
        row_of_pair = np.repeat(np.arange(len(indices)), counts)
        sides = zip((self.pairs.source, self.pairs.target), (source, target), strict=True)
        return Batch(*(_rows(side, members, row_of_pair, (len(indices), width)) for side, width in sides))


def pack(pairs: TokenizedPairs, width: int, width_multiple: int = 1) -> PackedPairs:
    """Packs all pairs into rows with at most `width` tokens on the side with more tokens in total.

    The other side is narrower in proportion to its number of tokens, by a multiple of `width_multiple`.

    Raises:
      ValueError: a sentence is longer than `width`.
    """
    longest = [int(side.max()) for side in pairs.lengths]
    if max(longest) > width:
        reason = f"{width} is less than the {max(longest)} tokens of the longest sentence"
        raise ValueError(f"data.packed_width: {reason}; raise it, or lower data.max_length")
    tokens = [len(side.tokens) for side in (pairs.source, pairs.target)]
    source, target = (
        width - (width - max(-(-width * count // max(tokens)), most)) // width_multiple * width_multiple
        for count, most in zip(tokens, longest, strict=True)
    )
    histogram, bin_of_pair = length_histogram(pairs.lengths, 1)
    patterns = list(_patterns(histogram, (source, target)))
    bin_of_member = np.concatenate([np.tile(pattern, rows) for pattern, rows in patterns])
    counts = np.repeat([len(pattern) for pattern, _ in patterns], [rows for _, rows in patterns])
    members = np.empty(len(pairs), np.int32)
    members[np.argsort(bin_of_member, kind="stable")] = np.argsort(bin_of_pair, kind="stable")
    return PackedPairs(pairs, members, np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]))


def _patterns(histogram: LengthHistogram, widths: tuple[int, int]) -> Iterator[tuple[np.ndarray, int]]:
    """Yields row patterns of at most `widths` tokens: the bins of a row's pairs, and the number of such rows.

    A row starts with the longest remaining pair. Further pairs take similar fractions of the remaining space on both
    sides, so that one side is not full before the other, and long pairs are preferred. A pattern repeats as often
    as the remaining pairs allow.
    """
    order = np.argsort(-(histogram.source + histogram.target), kind="stable")
    source, target, remaining = histogram.source[order], histogram.target[order], histogram.pairs[order].copy()
    first = 0
    while (more := np.flatnonzero(remaining[first:])).size:
        first += int(more[0])
        uses, space, index = np.zeros_like(remaining), widths, first
        while True:
            fitting = min(remaining[index] - uses[index], space[0] // source[index], space[1] // target[index])
            used = max(1, int(fitting) // 2)  # several, as long rows have many; half, as others may fit better
            uses[index] += used
            space = (space[0] - used * source[index], space[1] - used * target[index])
            has_space = (source[first:] <= space[0]) & (target[first:] <= space[1])
            fits = first + np.flatnonzero(has_space & (remaining[first:] > uses[first:]))
            if not fits.size:
                break
            source_share, target_share = source[fits] / space[0], target[fits] / space[1]
            balance = np.abs(source_share - target_share)
            index = int(fits[np.argmin(balance - _LENGTH_WEIGHT * (source_share + target_share))])
        taken = np.flatnonzero(uses)
        rows = int((remaining[taken] // uses[taken]).min())
        remaining[taken] -= rows * uses[taken]
        yield np.repeat(order[taken], uses[taken]).astype(np.int32), rows


def _rows(side: TokenizedSide, members: np.ndarray, row_of_pair: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    starts = side.offsets[members]
    lengths = side.offsets[members + 1] - starts
    filled = np.bincount(row_of_pair, lengths, shape[0])
    rows = np.full(shape, PAD, np.int32)
    rows[np.arange(shape[1]) < filled[:, None]] = side.tokens[_ranges(starts, lengths)]
    return rows


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the concatenated ranges of `counts[i]` numbers from `starts[i]`."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
