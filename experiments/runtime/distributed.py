"""Several processes of one run, on one host or many: how they find each other, and which of them writes."""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator

# What JAX itself calls the address; the two others say the rest that it cannot find out where nothing launched it.
NAMES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_WAIT = 24 * 3600  # seconds for the first process to fetch a corpus, and learn a vocabulary
_barriers = itertools.count()


def join(distributed: str) -> None:
    """Makes this process one of those that train together, if it is; before JAX has looked for devices.

    Args:
      distributed: "off": it is alone. "on": JAX finds the others, as on a Cloud TPU pod. "auto": the environment may
        say so: JAX_COORDINATOR_ADDRESS (host:port of the first process), JAX_NUM_PROCESSES and JAX_PROCESS_ID (from 0),
        or SLURM's for a step of several tasks; else it is alone.

    Raises:
      ValueError: only some of the three variables are there, or they make no sense.
    """
    given = {name: os.environ[name] for name in NAMES if name in os.environ}
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if distributed == "off" or (distributed == "auto" and not given and tasks < 2):
        return
    if given and len(given) < len(NAMES):
        missing = ", ".join(name for name in NAMES if name not in given)
        raise ValueError(f"{', '.join(given)} in the environment, but not {missing}: all are needed, or none")
    import jax

    if jax.distributed.is_initialized():
        return
    if not given:
        jax.distributed.initialize()
        return
    address, count, number = (given[name] for name in NAMES)
    if not (count.isdecimal() and number.isdecimal() and int(number) < int(count)):
        raise ValueError(f"JAX_PROCESS_ID={number} of JAX_NUM_PROCESSES={count}: they are numbered from 0")
    jax.distributed.initialize(address, int(count), int(number))


def several() -> bool:
    """Whether other processes train with this one."""
    if "jax" not in sys.modules:
        return False
    import jax

    return jax.distributed.is_initialized() and jax.process_count() > 1


def leader() -> bool:
    """Whether this process writes and prints: the first of several, or the only one."""
    if not several():
        return True
    import jax

    return jax.process_index() == 0


@contextlib.contextmanager
def leader_first() -> Iterator[None]:
    """What is inside is done by the leader, and then by the others, who find what it has prepared."""
    if not several():
        yield
        return
    from orbax.checkpoint import multihost

    # Not a barrier of devices, which give up after some minutes.
    wait, name = multihost.get_barrier_sync_fn(), f"leader_first_{next(_barriers)}"
    if leader():
        try:
            yield
        finally:  # a mistake is one for all: each is to find it by itself
            wait(key=name, timeout_ms=_WAIT * 1000)
    else:
        wait(key=name, timeout_ms=_WAIT * 1000)
        yield


def leave() -> None:
    """Waits for the others and parts from them: who just ended would be taken for dead, and the others with it."""
    if several():
        import jax

        jax.distributed.shutdown()


def notified(update: int) -> bool:
    """Whether all are to end after `update`, for one was told to. All ask after each update, and all hear the same."""
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(update)
