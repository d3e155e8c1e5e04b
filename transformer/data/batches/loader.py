"""Reads batches of a plan ahead of training, in threads or worker processes, with Grain."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, SupportsIndex

import numpy as np

from transformer.data.batches.plan import BatchPlan
from transformer.data.token_dataset import Batch
from transformer.spec import PAD

_ENDLESS = 1 << 62  # length of the source: Grain needs one, and training never reaches it
_THREADS = 2  # one assembles while the other waits for a core; more contend for the interpreter lock


class BatchSource(Protocol):
    """Batches by number."""

    def batch(self, k: int) -> Batch:
        """Batch k; a pure function of k."""
        ...


class StackedBatches(NamedTuple):
    """Plans that differ in their seed, with one batch of each as one: [members, rows, width]."""

    plans: tuple[BatchPlan, ...]

    def batch(self, k: int) -> Batch:
        """Batch k of every plan."""
        each = [plan.batch(k) for plan in self.plans]
        return Batch(*(np.stack(sides) for sides in zip(*each, strict=True)))


class HostBatches(NamedTuple):
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


class _GrainSource:
    """Batches from `start` on, as Grain's random-access source."""

    def __init__(self, plan: BatchSource, start: int) -> None:
        self._plan = plan
        self._start = start

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: SupportsIndex) -> tuple[int, Batch]:
        k = self._start + int(index)
        return k, self._plan.batch(k)


def import_grain() -> None:
    """Imports what `load_batches` reads with, if that has not been done.

    To be called before other threads trace or import anything. As long as Grain is being imported, `import` is another
    function in the whole process (`etils.epy.lazy_imports`), and a thread of JAX's that imports a class meanwhile
    fails with "No module named 'jax._src.hijax.HiType'".
    """
    import grain  # noqa: F401


def load_batches(plan: BatchSource, start: int, workers: int, prefetch: int) -> Iterator[tuple[int, Batch]]:
    """Yields (k, batch k) for k = `start`, `start` + 1, ... without end, `prefetch` of them ready ahead.

    `workers` processes assemble them, or threads of this process if 0; order and content do not depend on it. Grain
    reads absl flags to start a process: with `workers` the program must have parsed its own, as `absl.app` does.
    """
    import grain  # lazily: it imports jax, which takes seconds

    source = grain.MapDataset.source(_GrainSource(plan, start))
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
