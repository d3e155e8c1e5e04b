"""What every test runs under, set through the environment: before jax starts, and without importing it.

A test of pure data then never pays for jax, and a command that a test starts as a process runs under the same settings.
A variable that is already set wins: `JAX_PLATFORMS=cuda python -m pytest` runs the tests on a GPU.
"""

import os

import pytest

SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    # [B, T] + [T] adds along whichever axis happens to be last; an axis has to be added by name.
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    # Most of a test's time is compilation, and a small program compiles anew as slowly as it did the last time.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    # Figures are drawn to files.
    "MPLBACKEND": "agg",
}

# Two simulated devices: what only holds on one device must not pass.
DEVICES = "--xla_force_host_platform_device_count"


def pytest_configure(config: pytest.Config) -> None:
    cache = getattr(config, "cache", None)  # none under -p no:cacheprovider
    compiled = {"JAX_COMPILATION_CACHE_DIR": str(cache.mkdir("jax"))} if cache else {}
    for name, value in (SETTINGS | compiled).items():
        os.environ.setdefault(name, value)
    flags = os.environ.get("XLA_FLAGS", "")
    if DEVICES not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {DEVICES}=2".strip()
