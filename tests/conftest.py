"""What every test runs under, set through the environment: before jax starts, and without importing it.

A test of pure data then never pays for jax, and a command that a test starts as a process runs under the same settings.
A variable that is already set wins: `JAX_PLATFORMS=cuda python -m pytest` runs the tests on a GPU.
"""

import os
from importlib.metadata import version
from pathlib import Path

SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    # [B, T] + [T] adds along whichever axis happens to be last; an axis has to be added by name.
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    # Most of a test's time is compilation, and a small program compiles anew as slowly as it did the last time.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    # Figures are drawn to files.
    "MPLBACKEND": "agg",
}

_JAXLIB = tuple(map(int, version("jaxlib").split(".")[:2]))

# Two simulated devices: what only holds on one device must not pass. Tests compile much and compute little: optimising
# what is compiled would cost more than it saves.
XLA_FLAGS = (
    "--xla_force_host_platform_device_count=2",
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_parallel_codegen_split_count=1",
    # Half of the time to compile a small program is what MLIR does for each of its fusions. Later releases end at a
    # flag that they do not know any more.
    *(["--xla_cpu_use_fusion_emitters=false"] if _JAXLIB < (0, 12) else []),
)

CACHE = Path(__file__).parents[1] / ".pytest_cache" / "d" / "jax"

# On import and not in a hook: a folder's conftest.py, which may import jax, is imported before any hook runs.
for _name, _value in (SETTINGS | {"JAX_COMPILATION_CACHE_DIR": str(CACHE)}).items():
    os.environ.setdefault(_name, _value)
_flags = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = " ".join([_flags, *(flag for flag in XLA_FLAGS if flag.split("=")[0] not in _flags)]).strip()
