"""Reads batches of a plan ahead of training, in threads or worker processes, with Grain."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, SupportsIndex

import numpy as np

from transformer.data.batches.plan import BatchPlan
from transformer.data.token_dataset import Batch
from transformer.spec import PAD

_ENDLESS = 1 << 62  # length of the data source, which Grain requires; training never reaches it
_THREADS = 2  # one assembles while the other waits for a core; more threads contend for the interpreter lock


class BatchSource(Protocol):
    """Random access to batches by number."""

    def batch(self, k: int) -> Batch:
        """Returns batch k; a pure function of k."""
        ...


class StackedBatches(NamedTuple):
    """Stacks the batches of plans that differ in their seed: [members, rows, width]."""

    plans: tuple[BatchPlan, ...]

    def batch(self, k: int) -> Batch:
        """Returns batch k of every plan, stacked."""
        batches = [plan.batch(k) for plan in self.plans]
        return Batch(*(np.stack(sides) for sides in zip(*batches, strict=True)))


class HostBatches(NamedTuple):
    """The rows of a plan's batches that one of several processes needs.

    Attributes:
      plan: the complete batches.
      first_shard: the first of the process's shards.
      last_shard: the end of its shards, exclusive.
      num_shards: the number of equal shards of a batch's rows, which are padded with rows of PAD to a multiple of it.
    """

    plan: BatchPlan
    first_shard: int
    last_shard: int
    num_shards: int

    def batch(self, k: int) -> Batch:
        """Returns the process's rows of batch k; only these are assembled."""
        rows = -(-self.plan.shape(k).rows // self.num_shards)
        batch = self.plan.batch(k, slice(self.first_shard * rows, self.last_shard * rows))
        missing = (self.last_shard - self.first_shard) * rows - len(batch.source)
        return Batch(*(np.pad(side, [(0, missing), (0, 0)], constant_values=PAD) for side in batch))


class _GrainSource:
    """The batches from `start` on, as a random-access data source of Grain."""

    def __init__(self, plan: BatchSource, start: int) -> None:
        self._plan, self._start = plan, start

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: SupportsIndex) -> tuple[int, Batch]:
        k = self._start + int(index)
        return k, self._plan.batch(k)


def import_grain() -> None:
    """Imports Grain, which `load_batches` reads with.

    Call this before other threads trace or import anything. While Grain is imported, `etils.epy.lazy_imports` replaces
    `import` in the complete process, and a JAX thread that imports a class at the same time fails with "No module named
    'jax._src.hijax.HiType'".
    """
    import grain  # noqa: F401


def load_batches(plan: BatchSource, start: int, workers: int, prefetch: int) -> Iterator[tuple[int, Batch]]:
    """Yields (k, batch k) for k = `start`, `start` + 1, ... without end.

    Args:
      start: number of the first batch.
      workers: processes that assemble batches; 0 uses threads of this process. Order and content do not depend on it.
        Grain reads absl flags to start a process, so with `workers` the program must have parsed its flags.
      prefetch: number of batches assembled ahead.
    """
    import grain  # a late import: it imports jax, which takes seconds

    source = grain.MapDataset.source(_GrainSource(plan, start))
    if workers:
        options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=-(-prefetch // workers))
        dataset = source.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)).mp_prefetch(options)
    else:
        dataset = source.to_iter_dataset(grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=prefetch))
    iterator = iter(dataset)
    try:
        for k, batch in iterator:
            # The arrays of a worker are in shared memory, which Grain reuses: copy them.
            yield k, Batch(*map(np.array, batch)) if workers else batch
    finally:
        iterator.close()  # stops the threads or processes
