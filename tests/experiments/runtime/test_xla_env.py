"""Settings made before JAX starts, in separate processes: the heap keeps freed memory, the user's settings stay."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import platformdirs
import pytest

from experiments.runtime import xla_env

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
# Prints the size of XLA's thread pools; its argument is `sharded`.
PRINT_THREADS = """
import os, sys
from experiments.runtime import xla_env
xla_env.prepare(0, sharded=sys.argv[1] == "True")
print(os.environ.get("PJRT_NPROC"))
"""


@pytest.mark.parametrize(
    ("sharded", "environment", "expected"), [(True, {}, "32"), (False, {}, "None"), (True, {"PJRT_NPROC": "11"}, "11")]
)
def test_devices_that_share_parameters_have_several_threads_each(
    sharded: bool, environment: dict[str, str], expected: str
) -> None:
    """A device can wait in a collective of a loop and in the one behind it; the others still need a thread then."""
    inherited = {name: value for name, value in os.environ.items() if name != "PJRT_NPROC"}
    count = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2 --xla_force_host_platform_device_count=8"}
    process = subprocess.run(
        [sys.executable, "-c", PRINT_THREADS, str(sharded)],
        cwd=ROOT,
        env=inherited | count | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.split() == [expected]


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


@pytest.fixture
def folders(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A user with the home `home` and a system with the folder `temporary` for temporary files."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    xla_env._temporary_cache.cache_clear()
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders for caches")
@pytest.mark.parametrize(
    ("xdg", "expected"), [(None, "home/.cache"), ("", "home/.cache"), ("relative", "home/.cache"), ("{}/xdg", "xdg")]
)
def test_the_cache_is_in_the_folder_for_caches(
    folders: pathlib.Path, monkeypatch: pytest.MonkeyPatch, xdg: str | None, expected: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if xdg is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", xdg.format(folders))
    assert xla_env.cache_dir() == folders / expected / "transformer-research"
    assert not (folders / "transformer-research").exists()
    assert not (folders / "relative").exists()


def test_other_systems_have_other_folders_for_caches(folders: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, appauthor: folders / "Library/Caches" / name)
    assert xla_env.cache_dir() == folders / "Library/Caches/transformer-research"


@pytest.mark.parametrize("home", ["none", "read-only"])
def test_without_a_home_the_cache_is_a_folder_for_temporary_files(
    folders: pathlib.Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    pwd = pytest.importorskip("pwd")
    if home == "none":
        monkeypatch.delenv("HOME")
        monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # the user id is unknown
    else:
        (folders / "home").write_text("no folder can be made in a file")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    path = xla_env.cache_dir()
    assert path == xla_env.cache_dir() == folders / f"temporary/transformer-research-{os.getuid()}"
    assert path.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders / "xdg"))
    assert xla_env.cache_dir() == folders / "xdg/transformer-research"
    assert sorted(file.name for file in folders.iterdir() if file.name != "home") == ["temporary", "xdg"]


def test_a_link_of_another_user_is_no_cache(folders: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folders / "theirs").mkdir()
    (folders / f"temporary/transformer-research-{os.getuid()}").symlink_to(folders / "theirs")
    (folders / "home").write_text("no folder can be made in a file")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    path = xla_env.cache_dir()
    assert path.parent == folders / "temporary"
    assert not path.is_symlink()
    assert list((folders / "theirs").iterdir()) == []
