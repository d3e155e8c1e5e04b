"""Environment variables of all tests, set before JAX starts and without importing it.

Tests of pure data thus do not import JAX, and commands that tests start as processes run under the same settings. A
variable that is already set has precedence: `JAX_PLATFORMS=cuda python -m pytest` runs the tests on a GPU.
"""

import gc
import os
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.bucket import Proxy

SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    # [B, T] + [T] is an error: it broadcasts along whichever axis is last. Axes must be added explicitly.
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    # Compilation takes most of a test's time, also that of small programs, so they are cached too.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    # Figures are written to files.
    "MPLBACKEND": "agg",
}

_JAXLIB = tuple(map(int, version("jaxlib").split(".")[:2]))

# Two simulated devices, so that code that only works on one device fails. Tests compile much and compute little:
# compiler optimisation would take more time than it saves.
XLA_FLAGS = (
    "--xla_force_host_platform_device_count=2",
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_parallel_codegen_split_count=1",
    # The MLIR emitters for fusions take half of the compile time of a small program. Later releases do not know this
    # flag, and abort at unknown flags.
    *(["--xla_cpu_use_fusion_emitters=false"] if _JAXLIB < (0, 12) else []),
)

CACHE = Path(__file__).parents[1] / ".pytest_cache" / "d" / "jax"

# At import time and not in a hook: a folder's conftest.py, which may import JAX, is imported before any hook runs.
for _name, _value in (SETTINGS | {"JAX_COMPILATION_CACHE_DIR": str(CACHE)}).items():
    os.environ.setdefault(_name, _value)
_flags = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = " ".join([_flags, *(flag for flag in XLA_FLAGS if flag.split("=")[0] not in _flags)]).strip()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--first_case", action="store_true", help="run only the first case of each test with parameters")


@pytest.hookimpl(trylast=True)  # after -m: the first case of those that would run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("first_case"):
        first = {item.nodeid.partition("[")[0]: item for item in reversed(items)}
        config.hook.pytest_deselected(items=[item for item in items if item not in first.values()])
        items[:] = reversed(first.values())


def pytest_collection_finish() -> None:
    """Collects garbage less often: traced programs are millions of objects, and almost none is garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Proxy]":
    """An emulator of Google Cloud Storage with one bucket, behind a proxy that injects faults."""
    pytest.importorskip("gcsfs", reason="needs the extra `gcs`")
    from tests.bucket import behind_proxy

    with behind_proxy(tmp_path_factory.mktemp("gcs")) as proxy:
        yield proxy


@pytest.fixture
def bucket_folder(gcs: "Proxy", request: pytest.FixtureRequest) -> Path:
    """A folder of this test in the emulator's bucket."""
    from transformer import storage

    name = re.sub(r"\W+", "-", request.node.name)  # Orbax does not support the brackets of parameters in a path
    return storage.path(f"gs://bucket/{name}")
