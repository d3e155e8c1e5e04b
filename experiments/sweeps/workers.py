"""Workers of a sweep: processes that train cells side by side, each on its own core."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from experiments.runtime import cli, memory, subprocesses, xla_env
from experiments.runtime.signals import GRACE
from transformer.spec import Spec

_MEMORY = 3 << 30  # bytes of available memory for each worker of the default
_POLL = 0.2  # seconds between two looks at the workers


def default_count(specs: Sequence[Spec]) -> int:
    """Returns the number of workers that is fastest: one per core of a CPU, one elsewhere.

    Two runs on one core each train more tokens than one run on two cores, which must wait for each other. A run that
    divides its model among devices needs them all. Fewer workers if the memory is small.
    """
    cores = xla_env.core_count()
    divided = any(spec.parallel.shards_params for spec in specs)
    if min(cores, len(specs)) < 2 or divided or not subprocesses.call(_on_cpu):
        return 1
    available = memory.available()
    fitting = cores if available is None else available // _MEMORY
    return max(1, min(cores, len(specs), fitting))


def run(count: int, work: Callable[..., None], arguments: Sequence[Any], watch: Callable[[], None]) -> int:
    """Calls `work(*arguments)` in `count` processes on distinct cores; returns the number of workers that failed.

    A worker that fails does not stop the others. Whatever stops this process stops all workers, which first let their
    child processes save.

    Args:
      count: number of workers.
      work: a function of a module.
      arguments: its arguments.
      watch: called several times per second.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    context = multiprocessing.get_context("spawn")
    os.environ[memory.WORKERS] = str(count)
    workers = [context.Process(target=_work, args=(cores[number::count], work, *arguments)) for number in range(count)]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            watch()
            time.sleep(_POLL)
    except KeyboardInterrupt:
        deadline = time.monotonic() + GRACE + 10
        for worker in workers:  # they have the terminal's SIGINT too; a second signal would stop the saving
            worker.join(max(0, deadline - time.monotonic()))
        raise
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
        del os.environ[memory.WORKERS]
    return sum(worker.exitcode != 0 for worker in workers)


def _work(cores: Sequence[int], work: Callable[..., None], *arguments: Any) -> None:
    """Runs in a worker: its child processes inherit the cores."""
    cli.exit_on_sigterm()
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        work(*arguments)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)  # without a traceback; the parent reports the signal


def _stop_with_parent() -> None:
    """Stops this worker when the process that has started it is gone."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _on_cpu() -> bool:
    xla_env.prepare(1)
    import jax

    return jax.default_backend() == "cpu"
