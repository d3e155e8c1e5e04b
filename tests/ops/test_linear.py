"""Against `jax.lax.dot_general`, whose gradients are JAX's own. Sizes: B 2, T 5, D 7, F 11."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.ops import linear


def arrays(*shapes: tuple[int, ...], dtype=jnp.float32) -> list[jax.Array]:
    chance = np.random.default_rng(0)
    return [jnp.asarray(chance.normal(size=shape), dtype) for shape in shapes]


def with_gradients(dot_general, x, kernel, weight):
    """Product and gradients; `weight` makes each of its numbers count otherwise."""
    dimensions = (((x.ndim - 1,), (0,)), ((), ()))
    product, pull = jax.vjp(lambda x, kernel: dot_general(x, kernel, dimensions), x, kernel)
    return product, *pull(weight)


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 5, 7)], ids=str)
def test_product_and_gradients(shape: tuple[int, ...]) -> None:
    given = arrays(shape, (7, 11), (*shape[:-1], 11))
    found, expected = (with_gradients(each, *given) for each in (linear.dot_general, jax.lax.dot_general))
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_half_precision_stays() -> None:
    given = arrays((2, 5, 7), (7, 11), (2, 5, 11), dtype=jnp.bfloat16)
    found, expected = (with_gradients(each, *given) for each in (linear.dot_general, jax.lax.dot_general))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == jnp.bfloat16
        np.testing.assert_allclose(one.astype(jnp.float32), other.astype(jnp.float32), rtol=0.02, atol=0.05)


def test_nothing_is_turned_in_the_gradient() -> None:
    """The point of it: no array as large as a batch is transposed, by the program that XLA gets."""
    x, kernel, weight = arrays((2, 5, 7), (7, 11), (2, 5, 11))
    program = jax.jit(lambda *given: with_gradients(linear.dot_general, *given)).lower(x, kernel, weight).as_text()
    turned = [line for line in program.splitlines() if "stablehlo.transpose" in line]
    assert turned, "the kernel, for the gradient of what came in"
    assert all("tensor<7x11xf32>" in line for line in turned), turned


def test_a_linear_layer_uses_it() -> None:
    layer = nnx.Linear(7, 11, dot_general=linear.dot_general, rngs=nnx.Rngs(0))
    plain = nnx.Linear(7, 11, rngs=nnx.Rngs(0))
    (x,) = arrays((2, 5, 7))
    np.testing.assert_allclose(layer(x), plain(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("dimensions", "options"),
    [
        ((((1,), (0,)), ((), ())), {}),
        ((((2,), (1,)), ((), ())), {}),
        ((((2,), (0,)), ((), ())), {"precision": "highest"}),
        ((((2,), (0,)), ((), ())), {"preferred_element_type": jnp.float32}),
    ],
)
def test_other_products_are_refused(dimensions, options) -> None:
    x, kernel = arrays((2, 7, 7), (7, 7))
    with pytest.raises(ValueError, match="not the product of a linear layer"):
        linear.dot_general(x, kernel, dimensions, **options)
