"""Checks of memory and disk before the first update, so that a run does not fail at the forty-thousandth."""

import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.runtime import memory
from transformer import storage
from transformer.byte_size import format_bytes
from transformer.training import manifest
from transformer.training.aot import CompiledSteps, StepShape

USABLE = 0.95  # fraction of the device's memory that a program may take
_CHUNK = 1 << 24  # bytes written at a time


def check_disk(folder: pathlib.Path, state: Any, keep: int) -> None:
    """Checks that checkpoints of `state` can be written to `folder`: writes a file of that size and deletes it.

    Args:
      folder: created if missing.
      state: arrays, or their shapes.
      keep: number of checkpoints that are kept; one more exists while it is being written.

    Raises:
      ValueError: there is too little space, or the folder is not writable; the message gives the size needed. A bucket
        has no limit, and the lock of the run shows that it can be written.
    """
    if storage.in_bucket(folder):
        return
    size = sum(leaf.size * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(state))
    probe = folder / "preflight.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        needed = size * max(1, keep + 1 - len(manifest.checkpoint_steps(folder)))
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise ValueError(
                f"{folder}: {format_bytes(needed)} are needed for {keep} checkpoints and one that is being written, "
                f"{format_bytes(free)} are free; choose another --workdir, or a smaller checkpoint.keep"
            )
        try:
            _write(probe, size)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{folder}: a checkpoint of {format_bytes(size)} cannot be written ({reason})") from error


def _write(path: pathlib.Path, size: int) -> None:
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate") and size:
            os.posix_fallocate(file.fileno(), 0, size)  # reserves the blocks without writing them
            return
        for start in range(0, size, _CHUNK):
            file.write(bytes(min(_CHUNK, size - start)))


def check_memory(step: CompiledSteps, shapes: list[StepShape], tokens: int, report: Callable[[str], None]) -> None:
    """Compiles the step for the largest of `shapes`, and checks that its memory fits on a device.

    Args:
      step: compiled shape by shape.
      shapes: of batches.
      tokens: data.tokens_per_batch, which the shapes result from.
      report: called with a line on the memory needed and available.

    Raises:
      MemoryError: the step needs more memory than a device has; the message gives a value that fits.
    """
    largest = max(shapes, key=lambda shape: shape[0] * (shape[1] + shape[2]))
    fixed, working = step.memory_bytes(largest)
    total = available_memory()
    rows, source, target = largest
    batch, needed = f"the largest batch ({rows} × {source} and {target} tokens)", format_bytes(fixed + working)
    if total is None:
        report(f"memory: {needed} per device for {batch}")
        return
    # The memory of a batch grows with its tokens; that of the state does not.
    available = total * USABLE - fixed
    fitting = int(tokens * available / max(working, 1)) // 256 * 256
    if fixed + working > total * USABLE:
        remedy = f"data.tokens_per_batch={fitting} would fit" if fitting > 0 else "the model itself is too large"
        raise MemoryError(f"{batch} needs {needed} on a device that has {format_bytes(total)}; {remedy}")
    limit = f"data.tokens_per_batch up to about {fitting:,} would fit"
    report(f"memory: {needed} of {format_bytes(total)} per device for {batch}; {limit}")


def check_fits(use: str, needed: int, remedy: str) -> None:
    """Checks that `needed` bytes fit on a device.

    Raises:
      MemoryError: they do not; the message names the use and the remedy.
    """
    total = available_memory()
    if total is not None and needed > total * USABLE:
        raise MemoryError(f"{use} needs {format_bytes(needed)} on a device that has {format_bytes(total)}; {remedy}")


def available_memory() -> int | None:
    """Returns the bytes of memory available on a device, or None if they cannot be determined."""
    device = jax.local_devices()[0]
    statistics = device.memory_stats()
    if statistics and "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    if device.platform != "cpu":
        return None
    host = memory.available()
    return host // len(jax.local_devices()) if host is not None else None
