"""What must be set before JAX starts: how a CPU is divided, what is done with freed memory, where programs are kept."""

import ctypes
import os
import pathlib
import sys

# How glibc keeps freed blocks, all of them in one heap, whose pages are large: as environment variables that a process
# must begin with. `_keep_freed_memory` does the same to one that has begun.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(256 << 20),
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
# By mallopt(3)'s numbers, in the order above; a threshold of -1 is none.
_MALLOPT = {-4: 0, -1: -1, -2: 256 << 20, -8: 1}
_HUGE_PAGE = 2 << 20  # bytes; of x86-64 and, with pages of 4 kB, of ARM
_MADV_HUGEPAGE = 14  # madvise(2)


def prepare(cpu_devices: int) -> None:
    """Sets the environment for JAX, leaving alone what the user has set.

    Does nothing if JAX is imported already, as in a notebook: what is set here would have no effect.

    Args:
      cpu_devices: into how many devices of one core each a CPU is divided; 0: one device with all cores. Two
        single-threaded halves of a batch are faster than one product on two threads. No more than there are cores.
    """
    if "jax" in sys.modules:
        return
    flags = os.environ.get("XLA_FLAGS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices = min(cpu_devices, cores)
    asked = "xla_force_host_platform_device_count" in flags
    if devices > 1 or asked:
        flags += "" if asked else f" --xla_force_host_platform_device_count={devices}"
        if "xla_cpu_multi_thread_eigen" not in flags:
            flags += " --xla_cpu_multi_thread_eigen=false"
        if "xla_cpu_collective_call" not in flags:
            # XLA ends the process if one half waits 40 s for the other, which a busy machine can take.
            flags += " --xla_cpu_collective_call_warn_stuck_timeout_seconds=300"
            flags += " --xla_cpu_collective_call_terminate_timeout_seconds=3600"
        os.environ["XLA_FLAGS"] = flags.strip()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache() / "xla"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA's notes on its own compile time
    _keep_freed_memory()


def cache() -> pathlib.Path:
    """What is kept for the next run, whatever its folder."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "transformer-research"


def compiler_options() -> dict[str, bool | int | str]:
    """What XLA is told about every program; a CPU's machine code is optimised less than it could be.

    A fifth less time to compile, at the same speed: what takes a step's time are products that XLA finds ready-made.
    """
    import jax

    if jax.default_backend() != "cpu" or "xla_backend_optimization_level" in os.environ.get("XLA_FLAGS", ""):
        return {}
    return {"xla_backend_optimization_level": 1}


def _keep_freed_memory() -> None:
    """Tells glibc to keep freed blocks: else a training step gives its arrays back and page-faults them in again.

    Threads get a heap each otherwise, so that what one has freed another cannot take; and with pages of 4 kB the
    processor looks for them longer than for what is in them.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        libc = ctypes.CDLL(None)
        mallopt, malloc, free, madvise = libc.mallopt, libc.malloc, libc.free, libc.madvise
    except (OSError, AttributeError):
        return  # another C library
    for number, value in _MALLOPT.items():
        mallopt(number, value)
    if not _addresses_are_free():
        return
    malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # Half of the machine's memory becomes addresses of the heap, no more: a page is made where something is written.
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    block = malloc(size)
    if block:  # none where no range of addresses is as long
        malloc(_HUGE_PAGE)  # stays behind the block: Protobuf calls `malloc_trim`, which gives a heap's end back
        begin, end = -(-block // _HUGE_PAGE), (block + size) // _HUGE_PAGE
        madvise(begin * _HUGE_PAGE, (end - begin) * _HUGE_PAGE, _MADV_HUGEPAGE)
        free(block)


def _addresses_are_free() -> bool:
    """Whether Linux counts memory when it is written and not when it is asked for, and sets a process no limit."""
    import resource  # there is none on Windows

    limits = {resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)}
    try:
        counted = pathlib.Path("/proc/sys/vm/overcommit_memory").read_text(encoding="ascii").strip() == "2"
    except OSError:
        return False
    return limits == {resource.RLIM_INFINITY} and not counted
