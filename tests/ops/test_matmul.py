"""Against `jnp.matmul`, whose gradients are JAX's own. Sizes: M 5, K 7, N 11; leading axes 2, 3."""

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


def float64(*given: jax.Array) -> list[np.ndarray]:
    return [np.asarray(each.astype(jnp.float32), np.float64) for each in given]


def with_gradients(product, weight, *given):
    """Product and gradients; `weight` makes each of its numbers count otherwise."""
    found, pull = jax.vjp(product, *given)
    return found, *pull(weight.astype(found.dtype))


@pytest.mark.parametrize("leading", [(), (2, 3)], ids=str)
@pytest.mark.parametrize("name", FORMS)
def test_products(name: str, leading: tuple[int, ...]) -> None:
    product, expected, *shapes = FORMS[name]
    given = arrays(*((*leading, *shape) for shape in shapes))
    np.testing.assert_allclose(product(*given, jnp.float32), expected(*given), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("leading", [(), (2, 3)], ids=str)
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name: str, leading: tuple[int, ...]) -> None:
    product, plain, *shapes = FORMS[name]
    weight, *given = arrays(*((*leading, *shape) for shape in [(5, 11), *shapes]))
    found = with_gradients(lambda x, y: product(x, y, jnp.float32), weight, *given)
    for one, other in zip(found, with_gradients(plain, weight, *given), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_affine_and_its_gradients() -> None:
    weight, *given = arrays((5, 11), (5, 7), (7, 11), (11,))
    found = with_gradients(matmul.affine, weight, *given)
    expected = with_gradients(lambda x, kernel, bias: x @ kernel + bias[None], weight, *given)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_sixteen_bits_add_up_in_float32(name: str) -> None:
    """Of 4,000 numbers a sum in bfloat16 would stand still at 256, where the next one changes no digit of it."""
    shapes = {"nn": ((1, 4000), (4000, 1)), "nt": ((1, 4000), (1, 4000)), "tn": ((4000, 1), (4000, 1))}[name]
    given = [jnp.ones(shape, jnp.bfloat16) for shape in shapes]
    assert FORMS[name][0](*given, jnp.float32).item() == 4000
    assert FORMS[name][0](*given, jnp.bfloat16).item() == float(jnp.bfloat16(4000))


@pytest.mark.parametrize("out", [jnp.bfloat16, jnp.float32], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_sixteen_bits_are_rounded_once(name: str, out) -> None:
    """Within half a step of bfloat16 of what the operands give: no sum was rounded on its way."""
    product, plain, *shapes = FORMS[name]
    weight, *given = arrays((5, 11), *shapes, dtype=jnp.bfloat16)
    found = with_gradients(lambda x, y: product(x, y, out), weight, *given)
    x, y, g = float64(*given, weight)
    gradients = (g @ y.T, x.T @ g) if name == "nn" else (g @ y, g.T @ x)
    for one, other, dtype in zip(found, (plain(x, y), *gradients), (out, jnp.bfloat16, jnp.bfloat16), strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one.astype(jnp.float32), other, rtol=2**-8 if dtype == jnp.bfloat16 else 1e-5)


def test_several_models_at_once() -> None:
    """`vmap`, as populations have it, of a layer in 16 bits."""
    weight, *given = arrays((3, 5, 11), (3, 5, 7), (3, 7, 11), (3, 11), dtype=jnp.bfloat16)
    together = jax.jit(jax.vmap(functools.partial(with_gradients, matmul.affine)))(weight, *given)
    for number in range(3):
        alone = with_gradients(matmul.affine, weight[number], *(each[number] for each in given))
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(*float64(one[number], other), rtol=2**-7)


def program(dtype) -> str:
    """What XLA gets of a linear layer with its gradient on a CPU."""
    weight, *given = arrays((5, 11), (5, 7), (7, 11), (11,), dtype=dtype)
    traced = jax.jit(functools.partial(with_gradients, matmul.affine)).trace(weight, *given)
    return traced.lower(lowering_platforms=("cpu",)).as_text()


def test_no_batch_is_turned_in_the_gradient() -> None:
    assert "stablehlo.transpose" not in program(jnp.float32)


def test_a_cpu_s_products_of_sixteen_bits_are_such_as_it_has_fast_ones_for() -> None:
    """All give float32; the one that sums over the rows of both reads one that was turned in memory."""
    text = program(jnp.bfloat16)
    made = re.findall(r"stablehlo\.dot_general.*contracting_dims = \[(\d)\] x \[(\d)\].*-> tensor<[\dx]*x(\w+)>", text)
    assert len(made) == 4
    assert all(out == "f32" and left == "1" for left, _, out in made), made
    assert "LayoutConstraint" in text
