"""Several sentence pairs a row: rows of one width, nearly full, so that a step has one shape and little padding.

Which pairs share a row depends on the corpus alone. As many pairs have the same two lengths, what is searched for is
not a row for each pair but kinds of rows, such as "three pairs of 17 and 19 tokens and one of 12 and 9", and how often
each kind is needed: for tens of millions of pairs that search takes little longer than for thousands of them.

Source: Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination", packs histograms of one length
  likewise.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from transformer.data.batches.bucket_shapes import Cells
from transformer.data.batches.buckets import histogram
from transformer.data.token_dataset import Batch, TokenizedPairs, TokenizedSide, hashed
from transformer.spec import PAD

_LONG = 0.3  # what a pair's length counts beside the balance of its sides


@dataclasses.dataclass(frozen=True)
class PackedPairs:
    """Rows of several pairs, in the place of pairs: `batching.BatchPlan` takes either.

    A row is the tokens of its pairs one after the other, each with its EOS, source and target in the same order.

    Attributes:
      pairs: what is packed.
      members: all pairs, those of a row side by side; int32.
      starts: row i has `members[starts[i] : starts[i + 1]]`.
    """

    pairs: TokenizedPairs
    members: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Source and target tokens in each row, EOS included; int32."""
        source, target = (
            np.add.reduceat(side[self.members], self.starts[:-1], dtype=np.int32) for side in self.pairs.lengths
        )
        return source, target

    @property
    def sentences(self) -> int:
        """How many pairs there are in all rows."""
        return len(self.pairs)

    @property
    def tokens(self) -> int:
        """Of both sides, EOS included."""
        return self.pairs.tokens

    @property
    def dropped(self) -> int:
        """Pairs of the split that were left out."""
        return self.pairs.dropped

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pairs as ids and of who shares a row, in hexadecimal."""
        return hashed((self.members, self.starts), self.pairs.fingerprint)

    def batch(self, indices: np.ndarray, source: int, target: int) -> Batch:
        """The rows `indices`, `source` and `target` tokens wide; index -1 makes a row of PAD."""
        counts = np.where(indices >= 0, self.starts[indices + 1] - self.starts[indices], 0)
        chosen = self.members[_ranges(self.starts[indices], counts)]
        row_of_pair = np.repeat(np.arange(len(indices)), counts)
        sides = zip((self.pairs.source, self.pairs.target), (source, target), strict=True)
        return Batch(*(_rows(side, chosen, row_of_pair, (len(indices), width)) for side, width in sides))


def pack(pairs: TokenizedPairs, width: int, width_multiple: int = 1) -> PackedPairs:
    """Packs all pairs into rows with at most `width` tokens on the side that has more, and fewer on the other.

    How many fewer follows from how many tokens the sides have, and is a multiple of `width_multiple` from `width`.

    Raises:
      ValueError: a sentence is longer than `width`.
    """
    longest = [int(side.max()) for side in pairs.lengths]
    if max(longest) > width:
        raise ValueError(
            f"data.packed_width: {width} is less than the longest sentence, of {max(longest)} tokens; raise it, or "
            "lower data.max_length"
        )
    tokens = [len(side.tokens) for side in (pairs.source, pairs.target)]
    source, target = (
        width - (width - max(-(-width * each // max(tokens)), most)) // width_multiple * width_multiple
        for each, most in zip(tokens, longest, strict=True)
    )
    places, place_of_pair = histogram(pairs.lengths, 1)
    kinds = list(_kinds(places, (source, target)))
    place_of_member = np.concatenate([np.tile(kind, rows) for kind, rows in kinds])
    counts = np.repeat([len(kind) for kind, _ in kinds], [rows for _, rows in kinds])
    members = np.empty(len(pairs), np.int32)
    members[np.argsort(place_of_member, kind="stable")] = np.argsort(place_of_pair, kind="stable")
    return PackedPairs(pairs, members, np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]))


def _kinds(places: Cells, widths: tuple[int, int]) -> Iterator[tuple[np.ndarray, int]]:
    """Kinds of rows with `widths` tokens at most: the places of a row's pairs, and how many such rows there are.

    A row begins with the longest pair that is left, and goes on with such as take equal shares of the room that is left
    on either side, rather long ones than short ones: else one side would be full when the other is not. There are as
    many rows of this kind as the pairs that are left allow.
    """
    order = np.argsort(-(places.source + places.target), kind="stable")
    source, target, left = places.source[order], places.target[order], places.pairs[order].copy()
    first = 0
    while (more := np.flatnonzero(left[first:])).size:
        first += int(more[0])
        uses, room, place = np.zeros_like(left), widths, first
        while True:
            fitting = min(left[place] - uses[place], room[0] // source[place], room[1] // target[place])
            used = max(1, int(fitting) // 2)  # some at a time, for long rows have many; half, for others may fit better
            uses[place] += used
            room = (room[0] - used * source[place], room[1] - used * target[place])
            fits = first + np.flatnonzero(
                (source[first:] <= room[0]) & (target[first:] <= room[1]) & (left[first:] > uses[first:])
            )
            if not fits.size:
                break
            one, other = source[fits] / room[0], target[fits] / room[1]
            place = int(fits[np.argmin(np.abs(one - other) - _LONG * (one + other))])
        taken = np.flatnonzero(uses)
        rows = int((left[taken] // uses[taken]).min())
        left[taken] -= rows * uses[taken]
        yield np.repeat(order[taken], uses[taken]).astype(np.int32), rows


def _rows(side: TokenizedSide, chosen: np.ndarray, row_of_pair: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    starts = side.offsets[chosen]
    lengths = side.offsets[chosen + 1] - starts
    filled = np.bincount(row_of_pair, lengths, shape[0])
    rows = np.full(shape, PAD, np.int32)
    rows[np.arange(shape[1]) < filled[:, None]] = side.tokens[_ranges(starts, lengths)]
    return rows


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers from each start on, as many as its count, one range after the other."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
