"""Settings made before JAX starts, in separate processes: the heap keeps freed memory, the user's settings stay."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
LARGE_PAGES = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
# Prints the regions in which a thread's 64 blocks of 1 MB lie, and the flags of these regions.
PRINT_REGIONS = """
import ctypes, json, re, sys, threading
from experiments.runtime import xla_env
xla_env.prepare(2)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.malloc_trim(0)
blocks = []
thread = threading.Thread(target=lambda: blocks.extend(libc.malloc(1 << 20) for _ in range(64)))
thread.start(); thread.join()
regions, lines = set(), open("/proc/self/smaps").read().splitlines()
for line in lines:
    if match := re.match("([0-9a-f]+)-([0-9a-f]+) ", line):
        begin, end = (int(address, 16) for address in match.groups())
        holds, heap = any(begin <= block < end for block in blocks), line.endswith("[heap]")
    elif line.startswith("VmFlags:") and holds:
        regions.add((heap, "hg" in line.split()))
print(json.dumps(sorted(regions)))
"""


def heap_regions(before: str = "", **environment: str) -> list[list[bool]]:
    """Returns for each memory region with blocks whether it is the heap, and whether it may have huge pages.

    `before` is code that runs first.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    process = subprocess.run(
        [sys.executable, "-c", before + PRINT_REGIONS],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(process.stdout)


@pytest.mark.skipif(not LARGE_PAGES.exists(), reason="a Linux with transparent huge pages is needed")
def test_all_threads_share_one_heap_of_large_pages() -> None:
    regions = heap_regions()
    assert [True, True] in regions
    assert all(heap for heap, _ in regions)  # a block or two lie before the first large page


@pytest.mark.skipif(not LARGE_PAGES.exists(), reason="a Linux with transparent huge pages is needed")
def test_user_settings_of_the_allocator_are_kept() -> None:
    assert [True, True] not in heap_regions(MALLOC_TOP_PAD_="4096")


@pytest.mark.skipif(not LARGE_PAGES.exists(), reason="a Linux with transparent huge pages is needed")
def test_with_limited_addresses_none_are_reserved() -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (16 << 30, resource.RLIM_INFINITY))\n"
    assert [True, True] not in heap_regions(limit)
