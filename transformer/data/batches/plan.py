"""Batches of token ids: few shapes, little padding, and batch k a pure function of (seed, k).

The corpus is allotted to shapes once (allotment.py). An epoch shuffles the pairs of each shape, cuts them into batches,
and shuffles the batches of all shapes together; it has the same number of batches each time, so batch k stands in epoch
k // (batches per epoch) and nothing before it needs to be computed. To resume, a run needs one integer. The seed says
which pairs are together, not which shape comes when: runs that differ in their seed can be trained side by side.
"""

import copy
import threading
from typing import Any, SupportsIndex

import numpy as np

from transformer.data.batches.bucket_shapes import Shape
from transformer.data.batches.buckets import assign
from transformer.data.batches.packing import PackedPairs
from transformer.data.order import stable_order
from transformer.data.token_dataset import Batch, TokenizedPairs

_SHAPES = 0x736861706573  # key of the order of shapes, which is every seed's


class BatchPlan:
    """Which pairs are in which batch, for every batch of an endless training run.

    Every pair occurs exactly once an epoch. `shapes` are all the shapes there are, at most `buckets`, with
    rows × wider side <= `tokens_per_batch` and rows a multiple of `row_multiple` (devices × whatever each wants).
    """

    def __init__(
        self,
        pairs: TokenizedPairs | PackedPairs,
        *,
        tokens_per_batch: int,
        buckets: int,
        seed: int,
        row_multiple: int = 8,
        width_multiple: int = 1,
    ) -> None:
        """Chooses the shapes; see `allot` for the errors. Widths are multiples of `width_multiple`."""
        self._pairs = pairs
        self._seed = seed
        self._allotment = assign(pairs.lengths, tokens_per_batch, buckets, row_multiple, width_multiple)
        # Of each batch of an epoch before shuffling: the shape's number, and which batch of that shape it is.
        counts = self._allotment.batches
        self._shape_of_batch = np.repeat(np.arange(len(counts)), counts)
        self._number_in_shape = np.concatenate([np.arange(count) for count in counts])
        self._epochs: dict[int, _Epoch] = {}
        self._lock = threading.Lock()

    def reseeded(self, seed: int) -> "BatchPlan":
        """The same pairs in the same shapes, as another seed mixes them."""
        plan = copy.copy(self)
        plan._seed = seed
        return plan

    def __getstate__(self) -> dict[str, Any]:
        """For a worker process, which shuffles for itself: everything but the lock and the epochs at hand."""
        return {**self.__dict__, "_epochs": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All (rows, source width, target width) that occur, ascending in width."""
        return self._allotment.shapes

    def batches_per_epoch(self, epoch: int = 0) -> int:
        """The same for every epoch."""
        del epoch
        return len(self._shape_of_batch)

    def shape(self, k: int) -> Shape:
        """The shape of batch k."""
        return self._rows(k)[0]

    def indices(self, k: int) -> np.ndarray:
        """The pairs of batch k, one a row; -1 marks a row that fills the batch up."""
        return self._rows(k)[1]

    def batch(self, k: int, rows: slice = slice(None)) -> Batch:
        """Batch k; depends on the pairs, the settings, the seed and k, and on nothing that was asked for before.

        Of `rows`, if not all are wanted, only those that there are.
        """
        shape, indices = self._rows(k)
        return self._pairs.batch(indices[rows], shape.source, shape.target)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pairs as ids, in hexadecimal; it does not depend on the seed."""
        return self._pairs.fingerprint

    @property
    def padding_efficiency(self) -> float:
        """Real tokens, EOS included, over the cells of an epoch's batches, both sides, rows that fill up included."""
        return self._real_tokens / sum(
            shape.cells * count for shape, count in zip(self.shapes, self._allotment.batches, strict=True)
        )

    def report(self) -> dict[str, Any]:
        """What a run prints about its batches. Tokens of a batch are those of both sides."""
        count = self.batches_per_epoch()
        cells = [shape.cells for shape in self.shapes]
        return {
            "pairs": self._pairs.sentences,
            "pairs_per_row": self._pairs.sentences / len(self._pairs),
            "dropped": self._pairs.dropped,
            "shapes": [tuple(shape) for shape in self.shapes],
            "batches_per_shape": list(self._allotment.batches),
            "batches_per_epoch": count,
            "padding_efficiency": self.padding_efficiency,
            "tokens_per_batch": self._real_tokens / count,
            "cells_per_batch": {"least": min(cells), "most": max(cells)},
            "fill_up_rows": sum(s.rows * n for s, n in zip(self.shapes, self._allotment.batches, strict=True))
            - len(self._pairs),
        }

    @property
    def _real_tokens(self) -> int:
        return self._pairs.tokens

    def _rows(self, k: SupportsIndex) -> tuple[Shape, np.ndarray]:
        k = int(k)
        if k < 0:
            raise ValueError(f"batch {k}: batches are numbered from 0")
        number, position = divmod(k, self.batches_per_epoch())
        epoch = self._epoch(number)
        place = epoch.order[position]
        bucket, nth = int(self._shape_of_batch[place]), int(self._number_in_shape[place])
        shape, members = self.shapes[bucket], epoch.members[bucket]
        # Rows that fill up are spread over the shape's batches, so that none is much smaller than the others.
        first, last = (len(members) * edge // self._allotment.batches[bucket] for edge in (nth, nth + 1))
        indices = np.full(shape.rows, -1, np.int64)
        indices[: last - first] = members[first:last]
        return shape, indices

    def _epoch(self, number: int) -> "_Epoch":
        with self._lock:  # or every thread that assembles batches would shuffle the epoch for itself
            if number not in self._epochs:
                for old in sorted(self._epochs)[:-1]:  # two at hand: threads ahead are in the next one
                    del self._epochs[old]
                self._epochs[number] = _Epoch(self._allotment.members, len(self._shape_of_batch), self._seed, number)
            return self._epochs[number]


class _Epoch:
    """The order of one epoch: pairs within each shape, and batches."""

    def __init__(self, members: tuple[np.ndarray, ...], batches: int, seed: int, number: int) -> None:
        # Raw Philox output with a sort, not Generator.permutation: NumPy promises the former never to change.
        pairs, shapes = (
            np.random.Philox(key=np.array([key, number], np.uint64)) for key in (seed % (1 << 64), _SHAPES)
        )
        self.members = tuple(member[stable_order(pairs.random_raw(len(member)))] for member in members)
        self.order = stable_order(shapes.random_raw(batches))
