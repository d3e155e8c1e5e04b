"""The largest of many numbers: as JAX finds them, equals included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.ops import topk


def numbers(*shape: int) -> np.ndarray:
    """Of one decimal, so that many are equal."""
    return np.random.default_rng(5).normal(size=shape).astype(np.float32).round(1)


@pytest.mark.parametrize(("shape", "count"), [((7, 2048), 8), ((3, 5, 1001), 1), ((2, 1021), 4), ((2, 40), 40)])
def test_the_largest_and_their_order(shape: tuple[int, ...], count: int) -> None:
    x = numbers(*shape)
    for one, other in zip(jax.jit(topk.top_k, static_argnums=1)(x, count), jax.lax.top_k(x, count), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize("length", [2048, 1021, 5])
def test_argmax_is_the_first_of_equals(length: int) -> None:
    x = numbers(3, length)
    found = jax.jit(topk.argmax)(x)
    np.testing.assert_array_equal(found, np.argmax(x, axis=-1))
    assert found.dtype == jnp.int32


def test_blocks_are_of_one_size_where_they_pay() -> None:
    assert [topk.block_size(length, 8) for length in (4000, 8000, 32_000, 37_000)] == [50, 64, 64, 74]
    assert topk.block_size(1024, 8) == 32  # no more than a quarter is left to choose from
    assert [topk.block_size(length, count) for length, count in ((1023, 1), (4001, 8), (1024, 64))] == [0, 0, 0]
