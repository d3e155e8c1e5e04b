import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.layers.layer_norm import LayerNorm, RMSNorm

compiled = jax.jit(LayerNorm.__call__)


def run(norm: LayerNorm, x: np.ndarray) -> np.ndarray:
    return np.asarray(compiled(norm, x))


def test_by_hand(draw) -> None:
    """0, 1, 2, 5 have mean 2 and variance (4 + 1 + 0 + 9) / 4."""
    norm = draw(lambda: LayerNorm(4))
    normal = (np.array([0, 1, 2, 5]) - 2) / math.sqrt(3.5 + 1e-5)
    expected = normal * np.asarray(norm.scale_D[...]) + np.asarray(norm.bias_D[...])
    x = np.array([[[0, 1, 2, 5], [0, 10, 20, 50]]], np.float32)
    np.testing.assert_allclose(run(norm, x)[0], [expected, expected], atol=1e-5)


def test_starts_at_mean_zero_and_variance_one() -> None:
    x = np.random.default_rng(0).normal(3, 7, (2, 3, 101)).astype(np.float32)
    y = run(LayerNorm(101), x)
    np.testing.assert_allclose(y.mean(axis=-1), np.zeros((2, 3)), atol=1e-5)
    np.testing.assert_allclose(y.var(axis=-1), np.ones((2, 3)), atol=1e-5)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3])
def test_epsilon_is_added_to_the_variance(epsilon: float) -> None:
    """The variance of -0.001 and 0.001 is 1e-6, less than either epsilon."""
    y = run(LayerNorm(2, epsilon=epsilon), np.array([[-1e-3, 1e-3]], np.float32))
    expected = 1e-3 / math.sqrt(1e-6 + epsilon)
    np.testing.assert_allclose(y, [[-expected, expected]], rtol=1e-5)


def test_equal_numbers_give_the_bias_and_a_finite_gradient(draw) -> None:
    norm = draw(lambda: LayerNorm(7))
    x = np.full((3, 7), 5, np.float32)
    np.testing.assert_allclose(run(norm, x), np.tile(np.asarray(norm.bias_D[...]), (3, 1)), atol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(norm(x)))))(x)
    assert np.isfinite(gradient).all()


def test_far_from_zero() -> None:
    """The variance is computed from differences: mean of squares minus squared mean would be rounding noise."""
    x = np.random.default_rng(0).integers(0, 8, (3, 8)).astype(np.float32)
    np.testing.assert_allclose(run(LayerNorm(8), x + 2**20), run(LayerNorm(8), x), atol=1e-5)


def test_bfloat16_is_normalised_in_float32(draw) -> None:
    norm = draw(lambda: LayerNorm(101))
    x = np.random.default_rng(0).normal(100, 2, (3, 101)).astype(jnp.bfloat16)
    y = run(norm, x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, run(norm, x.astype(np.float32)).astype(jnp.bfloat16))


def test_rms_by_hand(draw) -> None:
    """0, 1, 2, 5 have mean square (1 + 4 + 25) / 4; no mean is subtracted and no bias is added."""
    norm = draw(lambda: RMSNorm(4, epsilon=0.5))
    expected = np.array([0, 1, 2, 5]) / math.sqrt(7.5 + 0.5) * np.asarray(norm.scale_D[...])
    np.testing.assert_allclose(norm(jnp.array([[[0, 1, 2, 5]]], jnp.float32))[0, 0], expected, atol=1e-5)
    assert len(jax.tree.leaves(norm)) == 1
    short = norm(jnp.ones((3, 4), jnp.bfloat16))
    assert short.dtype == jnp.bfloat16


def test_rms_starts_at_mean_square_one() -> None:
    y = np.asarray(RMSNorm(101)(jnp.asarray(np.random.default_rng(0).normal(3, 7, (2, 3, 101)), jnp.float32)))
    np.testing.assert_allclose((y**2).mean(axis=-1), np.ones((2, 3)), atol=1e-5)
