"""Switches of JAX get their defaults, before JAX is imported and after it."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from experiments.runtime import jax_switches

ROOT = pathlib.Path(__file__).parents[3]


def test_variables_are_ignored_with_a_warning_each() -> None:
    variables = {
        "JAX_ENABLE_X64": "1",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_DISABLE_JIT": "true",
        "JAX_TRANSFER_GUARD": "disallow",
        "JAX_THREEFRY_PARTITIONABLE": "True",  # the default
        "JAX_NO_TRACING": "0",
    }
    body = """
from experiments.runtime import xla_env
xla_env.prepare(0)
import jax
print(jax.numpy.arange(2.0).dtype, jax.config.jax_disable_jit, jax.config.jax_numpy_dtype_promotion.value)
"""
    completed = subprocess.run(
        [sys.executable, "-c", body],
        cwd=ROOT, env=os.environ | variables, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert completed.stdout == "float32 False standard\n"
    assert completed.stderr.splitlines() == [
        "warning: JAX_ENABLE_X64=1 is ignored; training and search need False",
        "warning: JAX_NUMPY_DTYPE_PROMOTION=strict is ignored; training and search need standard",
        "warning: JAX_DISABLE_JIT=true is ignored; training and search need False",
        "warning: JAX_TRANSFER_GUARD=disallow is ignored; training and search need allow",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jax_enable_x64", True),
        ("jax_numpy_dtype_promotion", "strict"),
        ("jax_disable_jit", True),
        ("jax_default_prng_impl", "rbg"),
    ],
)
def test_switches_of_an_imported_jax_are_reset(name: str, value: object, capsys: pytest.CaptureFixture[str]) -> None:
    before = getattr(jax.config, name)
    try:
        jax.config.update(name, value)
        jax_switches.reset()
        assert getattr(jax.config, name) == before
        assert jnp.arange(2.0).dtype == jnp.float32
        assert capsys.readouterr().err.startswith(f"warning: {name}={value} is ignored; training and search need ")
    finally:
        jax.config.update(name, before)
    jax_switches.reset()
    assert capsys.readouterr().err == ""
