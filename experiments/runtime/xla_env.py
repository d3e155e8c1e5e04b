"""Environment settings that JAX reads when it starts: CPU devices, memory allocation and the compilation cache."""

import contextlib
import ctypes
import functools
import os
import pathlib
import re
import sys
import tempfile
from typing import TYPE_CHECKING

import platformdirs

from experiments.runtime import jax_switches

if TYPE_CHECKING:
    from transformer.run_spec import ParallelSpec

# How glibc keeps freed blocks: all of them in one heap with large pages. These are environment variables, which must be
# set before a process starts; `_keep_freed_memory` does the same in a running process.
MALLOC_ENVIRONMENT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(256 << 20),
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
# mallopt(3)'s numbers of the first four settings above, in their order; -1 turns the threshold off.
_MALLOPT = {-4: 0, -1: -1, -2: 256 << 20, -8: 1}
# Size of XLA's thread pools. A collective occupies a thread while it waits for the other devices. XLA may start the
# collective behind a loop before those of the loop are done, so that a device can wait in both. With a thread per
# device, the default, one device can then occupy the last thread, and all wait forever.
THREADS_PER_DEVICE = 4
_HUGE_PAGE = 2 << 20  # bytes; of x86-64 and, with pages of 4 kB, of ARM
_CACHE = "transformer-research"  # name of the cache folder
_MADV_HUGEPAGE = 14  # madvise(2)


def prepare(cpu_devices: int, sharded: bool = False) -> None:
    """Sets the environment for JAX; keeps what the user has set.

    If JAX is imported already, as in a notebook, only resets the switches of `jax_switches`: the other settings would
    have no effect.

    Args:
      cpu_devices: number of devices of one core each that a CPU is divided into; 0: one device with all cores. Two
        single-threaded halves of a batch are faster than one matmul on two threads. Never more than there are cores.
      sharded: whether devices share parameters, so that they communicate within loops over layers and tokens.
    """
    jax_switches.reset()
    if "jax" in sys.modules:
        return
    flags = os.environ.get("XLA_FLAGS", "")
    devices = min(cpu_devices, core_count())
    user_set = re.findall(r"--xla_force_host_platform_device_count=(\d+)", flags)
    if devices > 1 or user_set:
        flags += "" if user_set else f" --xla_force_host_platform_device_count={devices}"
        if "xla_cpu_multi_thread_eigen" not in flags:
            flags += " --xla_cpu_multi_thread_eigen=false"
        if "xla_cpu_collective_call" not in flags:
            # XLA aborts the process if one half waits 40 s for the other, which can happen on a busy machine.
            flags += " --xla_cpu_collective_call_warn_stuck_timeout_seconds=300"
            flags += " --xla_cpu_collective_call_terminate_timeout_seconds=3600"
        os.environ["XLA_FLAGS"] = flags.strip()
        if sharded:
            count = int(user_set[-1]) if user_set else devices  # the last one counts
            os.environ.setdefault("PJRT_NPROC", str(THREADS_PER_DEVICE * count))
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_dir() / "xla"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
    os.environ.setdefault("EPATH_USE_TF", "false")  # Orbax reads buckets with gcsfs
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides XLA's messages about its compile time
    _keep_freed_memory()


def prepare_for(parallel: "ParallelSpec") -> None:
    """Sets the environment as `prepare` does, for the devices of a run."""
    prepare(parallel.cpu_devices, parallel.shards_params)


def core_count() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_dir() -> pathlib.Path:
    """Returns the cache folder that all runs share, for compiled programs and generated corpora.

    It is in XDG_CACHE_HOME if that is an absolute path, or else in the system's folder for caches: ~/.cache on Linux,
    ~/Library/Caches on macOS, %LOCALAPPDATA% on Windows. Where neither can be written, as for a user without a home, it
    is the user's folder in the folder for temporary files.
    """
    folders = [pathlib.Path(os.environ.get("XDG_CACHE_HOME", "")) / _CACHE]
    with contextlib.suppress(RuntimeError):  # there is no home; older versions return a relative path
        folders.append(platformdirs.user_cache_path(_CACHE, appauthor=False))
    return next((path for path in folders if path.is_absolute() and _is_writable(path)), None) or _temporary_cache()


def _is_writable(path: pathlib.Path) -> bool:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(path, os.W_OK | os.X_OK)


@functools.cache
def _temporary_cache() -> pathlib.Path:
    """Returns a folder of this user for temporary files; a new one if another user has taken its name."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    path = pathlib.Path(tempfile.gettempdir()) / f"{_CACHE}-{user}"
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700, exist_ok=True)
        if path.lstat().st_uid == user and not path.is_symlink():  # st_uid is 0 on Windows
            return path
    return pathlib.Path(tempfile.mkdtemp(prefix=f"{_CACHE}-"))


def compiler_options() -> dict[str, bool | int | str]:
    """Returns XLA's options for every program; on a CPU, a lower optimisation level of the machine code.

    Compilation takes a fifth less time, at the same speed: most of a step's time is in matmuls from XLA's libraries.
    """
    import jax

    if jax.default_backend() != "cpu" or "xla_backend_optimization_level" in os.environ.get("XLA_FLAGS", ""):
        return {}
    return {"xla_backend_optimization_level": 1}


def _keep_freed_memory() -> None:
    """Makes glibc keep freed blocks. Otherwise every training step returns its arrays and page-faults them in again.

    One heap serves all threads: with a heap per thread, one thread could not reuse memory that another has freed. Huge
    pages reduce TLB misses, which otherwise take longer than the memory accesses.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        libc = ctypes.CDLL(None)
        mallopt, malloc, free, madvise = libc.mallopt, libc.malloc, libc.free, libc.madvise
    except (OSError, AttributeError):
        return  # not glibc
    for number, value in _MALLOPT.items():
        mallopt(number, value)
    if not _overcommits():
        return
    malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # Reserves addresses of the heap for half of the machine's memory. Linux allocates a page only when it is written.
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    block = malloc(size)
    if block:  # null if no range of addresses is as long
        malloc(_HUGE_PAGE)  # stays behind the block: Protobuf calls `malloc_trim`, which returns the end of a heap
        start, stop = -(-block // _HUGE_PAGE), (block + size) // _HUGE_PAGE
        madvise(start * _HUGE_PAGE, (stop - start) * _HUGE_PAGE, _MADV_HUGEPAGE)
        free(block)


def _overcommits() -> bool:
    """Whether Linux counts memory when it is written and not when it is reserved, and the process has no limit."""
    import resource  # not available on Windows

    limits = {resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)}
    try:
        strict = pathlib.Path("/proc/sys/vm/overcommit_memory").read_text(encoding="ascii").strip() == "2"
    except OSError:
        return False
    return limits == {resource.RLIM_INFINITY} and not strict
