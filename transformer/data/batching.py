"""Batches of token ids: few shapes, little padding, and batch k a pure function of (seed, k).

The corpus is allotted to shapes once (allotment.py). An epoch shuffles the pairs of each shape, cuts them into batches,
and shuffles the batches of all shapes together; it has the same number of batches each time, so batch k stands in epoch
k // (batches per epoch) and nothing before it needs to be computed. To resume, a run needs one integer. The seed says
which pairs are together, not which shape comes when: runs that differ in their seed can be trained side by side.
"""

import copy
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, SupportsIndex

import numpy as np

from transformer.data.allotment import allot
from transformer.data.order import stable_order
from transformer.data.packing import PackedPairs, pack
from transformer.data.shapes import Shape
from transformer.data.tokenized import Batch, TokenizedPairs, TokenizedSide, sentences, tokenize
from transformer.data.unshuffled import grid_width, ordered_batches, source_batches
from transformer.spec import PAD

__all__ = [
    "Batch",
    "BatchPlan",
    "OfProcess",
    "PackedPairs",
    "Shape",
    "SideBySide",
    "TokenizedPairs",
    "TokenizedSide",
    "batches",
    "grid_width",
    "ordered_batches",
    "pack",
    "sentences",
    "source_batches",
    "tokenize",
]

_ENDLESS = 1 << 62  # batches offered to Grain, which wants a length
_SHAPES = 0x736861706573  # key of the order of shapes, which is every seed's
_THREADS = 2  # one assembles while the other waits for a core; more contend for the interpreter lock


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
        self._allotment = allot(pairs.lengths, tokens_per_batch, buckets, row_multiple, width_multiple)
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


class Batches(Protocol):
    """Batches by number."""

    def batch(self, k: int) -> Batch:
        """Batch k; a pure function of k."""
        ...


class SideBySide(NamedTuple):
    """Plans that differ in their seed, with one batch of each as one: [members, rows, width]."""

    plans: tuple[BatchPlan, ...]

    def batch(self, k: int) -> Batch:
        """Batch k of every plan."""
        each = [plan.batch(k) for plan in self.plans]
        return Batch(*(np.stack(sides) for sides in zip(*each, strict=True)))


class OfProcess(NamedTuple):
    """What one of several processes needs of a plan's batches: some of the parts into which rows are divided.

    Attributes:
      plan: the whole batches.
      first, last: which parts, from the first up to the last.
      parts: how many there are. A batch is filled up with rows of PAD to a multiple of them.
    """

    plan: BatchPlan
    first: int
    last: int
    parts: int

    def batch(self, k: int) -> Batch:
        """The part of batch k; nothing else of it is put together."""
        each = -(-self.plan.shape(k).rows // self.parts)
        found = self.plan.batch(k, slice(self.first * each, self.last * each))
        missing = (self.last - self.first) * each - len(found.source)
        return Batch(*(np.pad(side, [(0, missing), (0, 0)], constant_values=PAD) for side in found))


class _From:
    """Batches from `start` on, as Grain's random-access source."""

    def __init__(self, plan: Batches, start: int) -> None:
        self._plan = plan
        self._start = start

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: SupportsIndex) -> tuple[int, Batch]:
        k = self._start + int(index)
        return k, self._plan.batch(k)


def import_reader() -> None:
    """Imports what `batches` reads with, if that has not been done.

    To be called before other threads trace or import anything. As long as Grain is being imported, `import` is another
    function in the whole process (`etils.epy.lazy_imports`), and a thread of JAX's that imports a class meanwhile
    fails with "No module named 'jax._src.hijax.HiType'".
    """
    import grain  # noqa: F401


def batches(plan: Batches, start: int, workers: int, prefetch: int) -> Iterator[tuple[int, Batch]]:
    """Yields (k, batch k) for k = `start`, `start` + 1, ... without end, `prefetch` of them ready ahead.

    `workers` processes assemble them, or threads of this process if 0; order and content do not depend on it. Grain
    reads absl flags to start a process: with `workers` the program must have parsed its own, as `absl.app` does.
    """
    import grain  # lazily: it imports jax, which takes seconds

    source = grain.MapDataset.source(_From(plan, start))
    if workers:
        dataset = source.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)).mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=-(-prefetch // workers))
        )
    else:
        dataset = source.to_iter_dataset(grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=prefetch))
    iterator = iter(dataset)
    try:
        for k, batch in iterator:
            # From a worker the arrays lie in memory shared with it, which Grain wants back soon.
            yield k, Batch(*map(np.array, batch)) if workers else batch
    finally:
        iterator.close()  # ends the threads or processes
