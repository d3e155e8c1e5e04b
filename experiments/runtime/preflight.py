"""What is found out before the first update, so that it does not end a run at the forty-thousandth: memory and disk."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from transformer.training import manifest
from transformer.training.aot import Shape, ShapedStep

_SPARE = 0.95  # of the memory that there is, what a program may take
_PIECE = 1 << 24  # bytes written at a time


def disk(folder: pathlib.Path, state: Any, keep: int) -> None:
    """Makes sure that checkpoints of `state` can be written to `folder`: a file of that size is, and is removed.

    Args:
      folder: made if it does not exist.
      state: arrays, or their shapes.
      keep: how many checkpoints stay; one more exists while it is being written.

    Raises:
      ValueError: there is too little room, or none may write there; the message says how much is needed.
    """
    size = sum(leaf.size * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(state))
    probe = folder / "preflight.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        needed = size * max(1, keep + 1 - len(manifest.steps(folder)))
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise ValueError(
                f"{folder}: {_size(needed)} are needed for {keep} checkpoints and one that is being written, "
                f"{_size(free)} are free; choose another --workdir, or a smaller checkpoint.keep"
            )
        try:
            _write(probe, size)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"{folder}: a checkpoint of {_size(size)} cannot be written here ({error.strerror or error})"
        ) from error


def _write(path: pathlib.Path, size: int) -> None:
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate") and size:
            os.posix_fallocate(file.fileno(), 0, size)  # reserves the blocks without writing them
            return
        for begin in range(0, size, _PIECE):
            file.write(bytes(min(_PIECE, size - begin)))


def memory(step: ShapedStep, shapes: list[Shape], tokens_per_batch: int, say: Callable[[str], None]) -> None:
    """Compiles the step for the largest of `shapes`, and says what memory it needs of what there is.

    Args:
      step: compiled shape by shape.
      shapes: of batches.
      tokens_per_batch: the setting that they come from.
      say: is told.

    Raises:
      MemoryError: it needs more than there is; the message says what would fit.
    """
    largest = max(shapes, key=lambda shape: shape[0] * (shape[1] + shape[2]))
    fixed, working = step.memory(largest)
    there = available()
    rows, source, target = largest
    what = f"the largest batch ({rows} × {source} and {target} tokens)"
    if there is None:
        say(f"memory: {_size(fixed + working)} a device for {what}")
        return
    # What a batch takes grows with its tokens; what the state takes does not.
    room = there * _SPARE - fixed
    fitting = int(tokens_per_batch * room / max(working, 1)) // 256 * 256
    if fixed + working > there * _SPARE:
        remedy = f"data.tokens_per_batch={fitting} would fit" if fitting > 0 else "the model alone is too large"
        raise MemoryError(f"{what} needs {_size(fixed + working)} on a device that has {_size(there)}; {remedy}")
    say(
        f"memory: {_size(fixed + working)} of {_size(there)} a device for {what}; "
        f"data.tokens_per_batch up to some {fitting:,} would fit"
    )


def _size(count: int) -> str:
    """Bytes in words."""
    return f"{count / 2**30:.2f} GiB" if count >= 1 << 30 else f"{count / 2**20:.1f} MiB"


def available() -> int | None:
    """Bytes of memory that a device has to give, if that can be found out."""
    device = jax.local_devices()[0]
    statistics = device.memory_stats()
    if statistics and "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    if device.platform != "cpu":
        return None
    limits = [limit for limit in (_machine(), _container()) if limit is not None]
    return min(limits) // len(jax.local_devices()) if limits else None


def _machine() -> int | None:
    """Memory that Linux could give to programs."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
    return None


def _container() -> int | None:
    """Memory that a control group has left."""
    folder = pathlib.Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        limit, used = (int((folder / f"memory.{name}").read_text(encoding="utf-8")) for name in ("max", "current"))
        return max(limit - used, 0)
    return None
