"""Caches of keys and values. Sizes: B 2, H 3, K 5, U 7, N 2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.layers import kv_cache
from transformer.layers.kv_cache import HeadMajorKV, KeyValue


def test_head_major_and_back() -> None:
    generator = np.random.default_rng(0)
    keys_values = KeyValue(*(jnp.asarray(generator.normal(size=(2, 11, 3, width))) for width in (5, 7)))
    head_major = keys_values.head_major()
    assert [array.shape for array in head_major] == [(2, 3, 11, 5), (2, 3, 11, 7)]
    jax.tree.map(np.testing.assert_array_equal, head_major.seq_major(), keys_values)


@pytest.mark.parametrize(
    ("length", "chunked", "positions"),
    [(13, False, [13]), (12, True, [12]), (13, True, [12, 1]), (60, True, [12, 12, 24, 12])],
)
def test_chunks_grow_with_the_length(length: int, chunked: bool, positions: list[int]) -> None:
    cache = kv_cache.init_cache(2, 3, 2, length, (5, 7), jnp.bfloat16, chunked)
    assert [chunk.key_BHSK.shape for chunk in cache] == [(2, 3, 2 * count, 5) for count in positions]
    assert [chunk.value_BHSU.shape for chunk in cache] == [(2, 3, 2 * count, 7) for count in positions]
    assert {leaf.dtype for leaf in jax.tree.leaves(cache)} == {jnp.dtype(jnp.float32 if chunked else jnp.bfloat16)}
    assert kv_cache.chunk_ends(cache) == list(2 * np.cumsum(positions))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_position_is_written_to_its_slots_only(chunked: bool) -> None:
    """Each sentence has a position of its own."""
    cache = kv_cache.init_cache(2, 3, 2, 27, (5, 7), jnp.float32, chunked)
    expected_BS = np.zeros((2, 54))
    for position in (0, 11, 12, 23, 24, 26):  # the first and the last position of each chunk
        position_B = np.array([position, 26 - position])
        new = HeadMajorKV(*(jnp.full((2, 3, 2, width), position + 1.0) for width in (5, 7)))
        cache = jax.jit(kv_cache.write)(cache, new, jnp.asarray(2 * position_B))
        for row, own in enumerate(position_B):
            expected_BS[row, 2 * own : 2 * own + 2] = position + 1
    for arrays in zip(*cache, strict=True):
        written_BHSK = np.concatenate(arrays, axis=2)
        expected_BHSK = np.broadcast_to(expected_BS[:, None, :, None], written_BHSK.shape)
        np.testing.assert_array_equal(written_BHSK, expected_BHSK)
