"""Matmuls against `jnp.matmul` with JAX's gradients. Sizes: M 5, K 7, N 11; leading axes 2, 3."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.ops import matmul

FORMS = {
    "nn": (matmul.nn, lambda x, y: x @ y, (5, 7), (7, 11)),
    "nt": (matmul.nt, lambda x, y: x @ y.swapaxes(-1, -2), (5, 7), (11, 7)),
    "tn": (matmul.tn, lambda x, y: x.swapaxes(-1, -2) @ y, (7, 5), (7, 11)),
}
DIFFERENTIABLE = ("nn", "nt")


def arrays(*shapes: tuple[int, ...], dtype=jnp.float32) -> list[jax.Array]:
    chance = np.random.default_rng(0)
    return [jnp.asarray(chance.normal(size=shape), dtype) for shape in shapes]


def float64(*inputs: jax.Array) -> list[np.ndarray]:
    return [np.asarray(array.astype(jnp.float32), np.float64) for array in inputs]


def with_gradients(product, weight, *inputs):
    """Returns the product and its gradients for the cotangent `weight`."""
    actual, pull = jax.vjp(product, *inputs)
    return actual, *pull(weight.astype(actual.dtype))


@pytest.mark.parametrize("leading", [(), (2, 3)], ids=str)
@pytest.mark.parametrize("name", FORMS)
def test_matmuls(name: str, leading: tuple[int, ...]) -> None:
    product, expected, *shapes = FORMS[name]
    inputs = arrays(*((*leading, *shape) for shape in shapes))
    np.testing.assert_allclose(product(*inputs, jnp.float32), expected(*inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("leading", [(), (2, 3)], ids=str)
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name: str, leading: tuple[int, ...]) -> None:
    product, plain, *shapes = FORMS[name]
    weight, *inputs = arrays(*((*leading, *shape) for shape in [(5, 11), *shapes]))
    actual = with_gradients(lambda x, y: product(x, y, jnp.float32), weight, *inputs)
    for a, b in zip(actual, with_gradients(plain, weight, *inputs), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_affine_and_its_gradients() -> None:
    weight, *inputs = arrays((5, 11), (5, 7), (7, 11), (11,))
    actual = with_gradients(matmul.affine, weight, *inputs)
    expected = with_gradients(lambda x, kernel, bias: x @ kernel + bias[None], weight, *inputs)
    for a, b in zip(actual, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_sixteen_bits_accumulate_in_float32(name: str) -> None:
    """A sum of 4,000 ones in bfloat16 would stop at 256, where adding one changes no digit."""
    shapes = {"nn": ((1, 4000), (4000, 1)), "nt": ((1, 4000), (1, 4000)), "tn": ((4000, 1), (4000, 1))}[name]
    inputs = [jnp.ones(shape, jnp.bfloat16) for shape in shapes]
    assert FORMS[name][0](*inputs, jnp.float32).item() == 4000
    assert FORMS[name][0](*inputs, jnp.bfloat16).item() == float(jnp.bfloat16(4000))


@pytest.mark.parametrize("out", [jnp.bfloat16, jnp.float32], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_sixteen_bits_are_rounded_once(name: str, out) -> None:
    """The error is at most half a unit in the last place of bfloat16: no intermediate sum is rounded."""
    product, plain, *shapes = FORMS[name]
    weight, *inputs = arrays((5, 11), *shapes, dtype=jnp.bfloat16)
    actual = with_gradients(lambda x, y: product(x, y, out), weight, *inputs)
    x, y, g = float64(*inputs, weight)
    gradients = (g @ y.T, x.T @ g) if name == "nn" else (g @ y, g.T @ x)
    for a, b, dtype in zip(actual, (plain(x, y), *gradients), (out, jnp.bfloat16, jnp.bfloat16), strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=2**-8 if dtype == jnp.bfloat16 else 1e-5)


def test_vmap() -> None:
    """`vmap` of a 16-bit layer, as for populations."""
    weight, *inputs = arrays((3, 5, 11), (3, 5, 7), (3, 7, 11), (3, 11), dtype=jnp.bfloat16)
    joint = jax.jit(jax.vmap(functools.partial(with_gradients, matmul.affine)))(weight, *inputs)
    for number in range(3):
        separate = with_gradients(matmul.affine, weight[number], *(array[number] for array in inputs))
        for a, b in zip(joint, separate, strict=True):
            np.testing.assert_allclose(*float64(a[number], b), rtol=2**-7)


def program(dtype) -> str:
    """Returns the CPU program of a linear layer with its gradient."""
    weight, *inputs = arrays((5, 11), (5, 7), (7, 11), (11,), dtype=dtype)
    traced = jax.jit(functools.partial(with_gradients, matmul.affine)).trace(weight, *inputs)
    return traced.lower(lowering_platforms=("cpu",)).as_text()


def test_the_gradient_transposes_no_batch() -> None:
    assert "stablehlo.transpose" not in program(jnp.float32)


def test_sixteen_bit_matmuls_on_a_cpu_have_the_fast_form() -> None:
    """All have float32 results; the matmul that contracts the rows of both operands reads a transposed copy."""
    text = program(jnp.bfloat16)
    matmuls = re.findall(
        r"stablehlo\.dot_general.*contracting_dims = \[(\d)\] x \[(\d)\].*-> tensor<[\dx]*x(\w+)>", text
    )
    assert len(matmuls) == 4
    assert all(out == "f32" and contracted == "1" for contracted, _, out in matmuls), matmuls
    assert "LayoutConstraint" in text
