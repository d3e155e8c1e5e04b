"""Top-k and argmax against JAX, including ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.ops import topk


def numbers(*shape: int) -> np.ndarray:
    """Returns numbers with one decimal, so that many are equal."""
    return np.random.default_rng(5).normal(size=shape).astype(np.float32).round(1)


@pytest.mark.parametrize(("shape", "count"), [((7, 2048), 8), ((3, 5, 1001), 1), ((2, 1021), 4), ((2, 40), 40)])
def test_top_k_equals_jax(shape: tuple[int, ...], count: int) -> None:
    x = numbers(*shape)
    for actual, expected in zip(jax.jit(topk.top_k, static_argnums=1)(x, count), jax.lax.top_k(x, count), strict=True):
        np.testing.assert_array_equal(actual, expected)
        assert actual.dtype == expected.dtype


@pytest.mark.parametrize("length", [2048, 1021, 5])
def test_negative_zero_equals_zero(length: int) -> None:
    x = np.full((3, length), -1, np.float32)
    x[:, [1, 3, 4]] = [[-0.0, 0.0, 0.0], [0.0, -0.0, 0.0], [-0.0, -0.0, 0.0]]
    largest, index = jax.jit(topk.top_k, static_argnums=1)(x, 3)
    np.testing.assert_array_equal(index, [[1, 3, 4]] * 3)
    np.testing.assert_array_equal(largest, np.zeros((3, 3)))
    np.testing.assert_array_equal(jax.jit(topk.argmax)(x), [1, 1, 1])


@pytest.mark.parametrize("length", [2048, 1021, 5])
def test_argmax_returns_the_first_maximum(length: int) -> None:
    x = numbers(3, length)
    indices = jax.jit(topk.argmax)(x)
    np.testing.assert_array_equal(indices, np.argmax(x, axis=-1))
    assert indices.dtype == jnp.int32


def test_block_size() -> None:
    assert [topk.block_size(length, 8) for length in (4000, 8000, 32_000, 37_000)] == [50, 64, 64, 74]
    assert topk.block_size(1024, 8) == 32  # at most a quarter of the blocks remain
    assert [topk.block_size(length, count) for length, count in ((1023, 1), (4001, 8), (1024, 64))] == [0, 0, 0]
