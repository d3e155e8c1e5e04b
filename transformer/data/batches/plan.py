"""Training batches of token ids: few shapes, little padding, and batch k a pure function of (seed, k).

The pairs are assigned to buckets once (buckets.py). An epoch shuffles the pairs of each bucket, cuts them into batches,
and shuffles the batches of all buckets. Every epoch has the same number of batches. Batch k is therefore in epoch
k // (batches per epoch), and no earlier batch needs to be computed: a run resumes from one integer. The seed decides
which pairs share a batch, but not the order of the shapes, so that runs with different seeds can train jointly.
"""

import copy
import threading
from typing import Any, SupportsIndex

import numpy as np

from transformer.data.batches.bucket_shapes import BatchShape
from transformer.data.batches.buckets import assign
from transformer.data.batches.packing import PackedPairs
from transformer.data.token_dataset import Batch, TokenizedPairs

_SHAPES = 0x736861706573  # key of the order of shapes, the same for every seed


class BatchPlan:
    """Decides which pairs are in which batch, for an endless sequence of batches.

    Every pair occurs exactly once an epoch.
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
        """Assigns the pairs to buckets; see `buckets.assign` for the arguments and errors."""
        self._pairs, self._seed = pairs, seed
        self._assignment = assign(pairs.lengths, tokens_per_batch, buckets, row_multiple, width_multiple)
        # For each batch of an unshuffled epoch: its bucket, and its index among the batches of that bucket.
        counts = self._assignment.batches
        self._bucket_of_batch = np.repeat(np.arange(len(counts)), counts)
        self._index_in_bucket = np.concatenate([np.arange(count) for count in counts])
        self._epochs: dict[int, _Epoch] = {}
        self._lock = threading.Lock()

    def with_seed(self, seed: int) -> "BatchPlan":
        """Returns the plan of another seed for the same pairs and buckets."""
        plan = copy.copy(self)
        plan._seed = seed
        return plan

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the lock and the cached epochs; a worker process computes its own."""
        return {**self.__dict__, "_epochs": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @property
    def shapes(self) -> tuple[BatchShape, ...]:
        """The shapes of all batches, ascending in width."""
        return self._assignment.shapes

    def batches_per_epoch(self) -> int:
        """Returns the number of batches, which is the same for every epoch."""
        return len(self._bucket_of_batch)

    def shape(self, k: int) -> BatchShape:
        """Returns the shape of batch k."""
        return self._rows(k)[0]

    def indices(self, k: int) -> np.ndarray:
        """Returns the pair of each row of batch k; -1 marks a row of padding."""
        return self._rows(k)[1]

    def batch(self, k: int, rows: slice = slice(None)) -> Batch:
        """Returns batch k, or some of its rows: a pure function of the pairs, the settings, the seed and k.

        As in all slices, `rows` beyond the end are left out.
        """
        shape, indices = self._rows(k)
        return self._pairs.batch(indices[rows], shape.source, shape.target)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pairs' token ids, in hexadecimal; it does not depend on the seed."""
        return self._pairs.fingerprint

    @property
    def padding_efficiency(self) -> float:
        """Tokens of an epoch, EOS included, divided by the cells of its batches, padding rows included; both sides."""
        batches = zip(self.shapes, self._assignment.batches, strict=True)
        return self._pairs.num_tokens / sum(shape.cells * count for shape, count in batches)

    def report(self) -> dict[str, Any]:
        """Returns the statistics that a run prints about its batches. Tokens are counted on both sides."""
        count = self.batches_per_epoch()
        cells = [shape.cells for shape in self.shapes]
        rows = sum(shape.rows * n for shape, n in zip(self.shapes, self._assignment.batches, strict=True))
        return {
            "pairs": self._pairs.num_pairs,
            "pairs_per_row": self._pairs.num_pairs / len(self._pairs),
            "dropped": self._pairs.dropped,
            "shapes": [tuple(shape) for shape in self.shapes],
            "batches_per_shape": list(self._assignment.batches),
            "batches_per_epoch": count,
            "padding_efficiency": self.padding_efficiency,
            "tokens_per_batch": self._pairs.num_tokens / count,
            "cells_per_batch": {"least": min(cells), "most": max(cells)},
            "fill_up_rows": rows - len(self._pairs),
        }

    def _rows(self, k: SupportsIndex) -> tuple[BatchShape, np.ndarray]:
        k = int(k)
        if k < 0:
            raise ValueError(f"batch {k}: batches are numbered from 0")
        number, position = divmod(k, self.batches_per_epoch())
        epoch = self._epoch(number)
        batch = epoch.order[position]
        bucket, nth = int(self._bucket_of_batch[batch]), int(self._index_in_bucket[batch])
        shape, members = self.shapes[bucket], epoch.members[bucket]
        # Padding rows are spread over the batches of the bucket, so that none has much fewer pairs than the others.
        first, last = (len(members) * edge // self._assignment.batches[bucket] for edge in (nth, nth + 1))
        indices = np.full(shape.rows, -1, np.int64)
        indices[: last - first] = members[first:last]
        return shape, indices

    def _epoch(self, number: int) -> "_Epoch":
        with self._lock:  # otherwise every thread that assembles batches would shuffle the epoch itself
            if number not in self._epochs:
                for old in sorted(self._epochs)[:-1]:  # two are cached: some threads are already in the next epoch
                    del self._epochs[old]
                self._epochs[number] = _Epoch(self._assignment.members, len(self._bucket_of_batch), self._seed, number)
            return self._epochs[number]


class _Epoch:
    """The order of one epoch: the pairs within each bucket, and the batches."""

    def __init__(self, members: tuple[np.ndarray, ...], batches: int, seed: int, number: int) -> None:
        # Raw Philox output with a sort, not Generator.permutation: NumPy guarantees that the former never changes.
        keys = (seed % (1 << 64), _SHAPES)
        pairs, shapes = (np.random.Philox(key=np.array([key, number], np.uint64)) for key in keys)
        self.members = tuple(member[np.argsort(pairs.random_raw(len(member)), kind="stable")] for member in members)
        self.order = np.argsort(shapes.random_raw(batches), kind="stable")
