"""The linear layers inside attention and feed-forward networks."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from transformer.layers.linear import linear


def test_it_is_x_w_plus_b_from_xavier_s_uniform_distribution() -> None:
    layer = linear(23, 29, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))
    bound = np.sqrt(6 / (23 + 29))
    kernel, bias = layer.kernel[...], np.arange(29, dtype=np.float32)
    assert kernel.shape == (23, 29)
    assert 0.9 * bound < np.abs(kernel).max() <= bound
    assert layer.bias is not None
    assert not np.any(layer.bias[...])
    layer.bias[...] = jnp.asarray(bias)
    x_BTD = jax.random.normal(jax.random.key(1), (2, 3, 23))
    np.testing.assert_allclose(layer(x_BTD), np.asarray(x_BTD) @ np.asarray(kernel) + bias, rtol=1e-5, atol=1e-5)


def test_products_have_the_dtype_that_is_asked_for() -> None:
    layer = linear(3, 5, dtype=jnp.dtype("bfloat16"), rngs=nnx.Rngs(0))
    assert layer(jnp.ones((2, 3))).dtype == jnp.bfloat16
    assert layer.kernel.dtype == jnp.float32
