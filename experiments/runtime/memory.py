"""Memory of the host that this process may take."""

import contextlib
import os
import pathlib

WORKERS = "TRANSFORMER_WORKERS"  # environment variable: number of processes that share the host's memory


def available() -> int | None:
    """Returns the bytes of memory available to this process, an equal part for each worker; None if unknown."""
    limits = [limit for limit in (_machine(), _container()) if limit is not None]
    return min(limits) // int(os.environ.get(WORKERS, "1")) if limits else None


def _machine() -> int | None:
    """Returns the bytes of memory that Linux reports as available to programs."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
    return None


def _container() -> int | None:
    """Returns the bytes of memory left in the control group."""
    folder = pathlib.Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        limit, used = (int((folder / f"memory.{name}").read_text(encoding="utf-8")) for name in ("max", "current"))
        return max(limit - used, 0)
    return None
