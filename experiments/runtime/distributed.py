"""Processes that train one run jointly, on one host or several: how they connect, and which of them writes files."""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator

# The first name is JAX's own; the other two give what JAX cannot detect without a cluster manager.
VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_TIMEOUT = 24 * 3600  # seconds; the primary process may download a corpus and train a vocabulary in that time
_barriers = itertools.count()


def initialize(distributed: str) -> None:
    """Connects this process to the other processes of the run, if there are any; before JAX looks for devices.

    Args:
      distributed: "off": a single process. "on": JAX detects the other processes, as on a Cloud TPU pod. "auto": the
        environment decides: JAX_COORDINATOR_ADDRESS (host:port of the first process), JAX_NUM_PROCESSES and
        JAX_PROCESS_ID (from 0), or SLURM's variables for a step of several tasks; without them a single process.

    Raises:
      ValueError: only some of the three variables are set, or their values are invalid.
    """
    values = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if distributed == "off" or (distributed == "auto" and not values and tasks < 2):
        return
    if values and len(values) < len(VARIABLES):
        missing = ", ".join(name for name in VARIABLES if name not in values)
        raise ValueError(f"{', '.join(values)} in the environment, but not {missing}: set all of them, or none")
    import jax

    if jax.distributed.is_initialized():
        return
    if not values:
        jax.distributed.initialize()
        return
    address, count, index = (values[name] for name in VARIABLES)
    if not (count.isdecimal() and index.isdecimal() and int(index) < int(count)):
        raise ValueError(f"JAX_PROCESS_ID={index} of JAX_NUM_PROCESSES={count}: processes are numbered from 0")
    jax.distributed.initialize(address, int(count), int(index))


def is_distributed() -> bool:
    """Whether the run has several processes."""
    if "jax" not in sys.modules:
        return False
    import jax

    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_primary() -> bool:
    """Whether this is the primary process, which writes files and prints: the first of several, or the only one."""
    if not is_distributed():
        return True
    import jax

    return jax.process_index() == 0


@contextlib.contextmanager
def primary_first() -> Iterator[None]:
    """Runs the body in the primary process first, then in the others, which find the files that it prepared."""
    if not is_distributed():
        yield
        return
    from orbax.checkpoint import multihost

    # Barriers of devices time out after some minutes; this one does not.
    wait, name = multihost.get_barrier_sync_fn(), f"primary_first_{next(_barriers)}"
    if is_primary():
        try:
            yield
        finally:  # also after an error, so that the other processes run into the same error
            wait(key=name, timeout_ms=_TIMEOUT * 1000)
    else:
        wait(key=name, timeout_ms=_TIMEOUT * 1000)
        yield


def shutdown() -> None:
    """Waits for the other processes and disconnects: JAX stops all of them if one exits without disconnecting."""
    if is_distributed():
        import jax

        jax.distributed.shutdown()


def preemption_at(update: int) -> bool:
    """Whether all processes stop after `update`, because one received SIGTERM. Each calls this after each update."""
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(update)
