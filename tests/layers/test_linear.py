"""Linear layers of attention and feed-forward networks."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from transformer.layers.linear import Linear, LinearWithoutBias


def test_x_w_plus_b_with_xavier_uniform_weights() -> None:
    layer = Linear(23, 29, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))
    bound = np.sqrt(6 / (23 + 29))
    kernel, bias = layer.kernel[...], np.arange(29, dtype=np.float32)
    assert kernel.shape == (23, 29)
    assert 0.9 * bound < np.abs(kernel).max() <= bound
    assert not np.any(layer.bias[...])
    layer.bias[...] = jnp.asarray(bias)
    x_BTD = jax.random.normal(jax.random.key(1), (2, 3, 23))
    np.testing.assert_allclose(layer(x_BTD), np.asarray(x_BTD) @ np.asarray(kernel) + bias, rtol=1e-5, atol=1e-5)


def test_outputs_have_the_dtype_of_the_layer() -> None:
    layer = Linear(3, 5, dtype=jnp.dtype("bfloat16"), rngs=nnx.Rngs(0))
    assert layer(jnp.ones((2, 3))).dtype == jnp.bfloat16
    assert layer.kernel.dtype == jnp.float32


def test_without_bias_and_with_other_initializers() -> None:
    ones = nnx.initializers.ones
    layer = LinearWithoutBias(3, 5, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0), kernel_init=ones)
    assert not hasattr(layer, "bias")
    np.testing.assert_array_equal(layer(jnp.ones(3)), np.full(5, 3.0))


def test_one_vector_or_many() -> None:
    layer = Linear(3, 5, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0), bias_init=nnx.initializers.ones)
    xavier, ones = nnx.initializers.xavier_uniform(), nnx.initializers.ones
    plain = nnx.Linear(3, 5, rngs=nnx.Rngs(0), kernel_init=xavier, bias_init=ones)  # with the same parameters
    for shape in [(3,), (2, 3), (2, 7, 3)]:
        x = jax.random.normal(jax.random.key(1), shape)
        np.testing.assert_allclose(layer(x), plain(x), rtol=1e-5, atol=1e-6)
