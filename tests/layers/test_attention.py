"""Sizes are primes that differ, and no width is a quotient of others: B 2, T 5, S 3, D 13, H 3, K 5, U 2, N 2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.layers.attention import Attention, Dot, KeyValue, Largest, MultiHeadAttention
from transformer.layers.linear import Linear
from transformer.ops import masks
from transformer.ops.attention import sigmoid, softmax
from transformer.ops.dropout import Dropout

D_MODEL, HEADS, D_K, D_V, SCALE = 13, 3, 5, 2, 0.7


def make(dtype=jnp.float32) -> MultiHeadAttention:
    return MultiHeadAttention(D_MODEL, HEADS, D_K, D_V, attention=Attention(Dot(SCALE)), dtype=dtype, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def attention(draw) -> MultiHeadAttention:
    return draw(make)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.5, (2, 5, D_MODEL)).astype(np.float32)


@pytest.fixture(scope="module")
def memory() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 0.5, (2, 3, D_MODEL)).astype(np.float32)


@jax.jit
def compiled(attention, x_BTD, memory_BSD, mask, dropout):
    return attention(x_BTD, attention.keys_values(memory_BSD), mask, dropout)


def run(attention, x_BTD, memory_BSD, mask, dropout=None):
    output_BTD, weights_BHTS = compiled(attention, x_BTD, memory_BSD, mask, dropout)
    return np.asarray(output_BTD), np.asarray(weights_BHTS)


def linear(layer: Linear, x: np.ndarray, head: int | None = None, size: int = 0) -> np.ndarray:
    """x W + b, or the columns of it that belong to one head."""
    columns = slice(None) if head is None else slice(head * size, (head + 1) * size)
    return x @ np.asarray(layer.kernel[...])[:, columns] + np.asarray(layer.bias[...])[columns]


def test_equals_heads_one_by_one(attention, x, memory) -> None:
    """Concat(head_1, ..., head_h) W^O, each head with matrices of its own."""
    mask_BS = np.array([[1, 1, 0], [1, 1, 1]], bool)
    heads = []
    for head in range(HEADS):
        query_BTK = linear(attention.to_query, x, head, D_K)
        key_BSK = linear(attention.to_key, memory, head, D_K)
        value_BSU = linear(attention.to_value, memory, head, D_V)
        powers_BTS = np.exp(SCALE * query_BTK @ key_BSK.swapaxes(1, 2)) * mask_BS[:, None]
        weights_BTS = powers_BTS / powers_BTS.sum(axis=-1, keepdims=True)
        heads.append((weights_BTS, weights_BTS @ value_BSU))
    output_BTD, weights_BHTS = run(attention, x, memory, mask_BS[:, None, None])
    np.testing.assert_allclose(weights_BHTS, np.stack([weights for weights, _ in heads], axis=1), atol=1e-5)
    expected_BTD = linear(attention.to_output, np.concatenate([context for _, context in heads], axis=-1))
    np.testing.assert_allclose(output_BTD, expected_BTD, atol=1e-5)


def test_sizes_of_keys_and_values_are_free(attention) -> None:
    layers = [attention.to_query, attention.to_key, attention.to_value, attention.to_output]
    shapes = [layer.kernel.shape for layer in layers]
    assert shapes == [(D_MODEL, 15), (D_MODEL, 15), (D_MODEL, 6), (6, D_MODEL)]


@pytest.mark.parametrize("parts", [[7], [1, 1, 2, 3]])
def test_steps_are_columns_of_causal_attention(attention, monkeypatch: pytest.MonkeyPatch, parts: list[int]) -> None:
    """For N hypotheses of B sentences that keep their places, in a cache that is longer than the output."""
    monkeypatch.setattr("transformer.layers.attention._FIRST_PART", 1)
    x_BNTD = np.random.default_rng(3).normal(0, 0.5, (2, 2, 5, D_MODEL)).astype(np.float32)
    step = jax.jit(lambda attention, *arrays: attention.step(*arrays))  # of its own: not traced before
    cache = jax.tree.map(lambda leaf: leaf + 1e3, attention.empty(2, 2, 7, jnp.float32, len(parts) > 1))
    assert [part.key_BHSK.shape[2] for part in cache] == [2 * part for part in parts]
    slot_BNT = jnp.broadcast_to(jnp.arange(2)[None, :, None], (2, 2, 7))
    columns = []
    for position in range(5):
        mask = masks.ancestors(slot_BNT, jnp.int32(position))
        column_BND, cache = step(attention, x_BNTD[:, :, position], cache, jnp.int32(position), mask)
        columns.append(column_BND)
    for beam in range(2):
        expected_BTD, _ = run(attention, x_BNTD[:, beam], x_BNTD[:, beam], np.tril(np.ones((5, 5), bool))[None, None])
        np.testing.assert_allclose(np.stack(columns, axis=2)[:, beam], expected_BTD, atol=1e-5)
    # The cache is what `keys_values` gives, and nothing is written beyond it.
    expected = jax.jit(MultiHeadAttention.keys_values)(attention, x_BNTD)
    whole = (np.concatenate(each, axis=2) for each in zip(*cache, strict=True))
    for one_BHSK, other_BNTHK in zip(whole, expected, strict=True):
        by_slot = np.moveaxis(one_BHSK.reshape(2, HEADS, 7, 2, -1), (1, 2, 3), (3, 2, 1))
        np.testing.assert_allclose(by_slot[:, :, :5], other_BNTHK, atol=1e-5)
        assert (by_slot[:, :, 5:] == 1e3).all()


@pytest.mark.parametrize("weigh", [softmax, sigmoid, Largest(2)])
def test_parts_are_as_the_whole(weigh) -> None:
    chance = np.random.default_rng(5)
    attention = Attention(Dot(SCALE), weigh)
    query, key, value = (jnp.asarray(chance.normal(0, 1, (2, rows, HEADS, 5)), jnp.float32) for rows in (3, 7, 7))
    mask = np.arange(7) < np.array([5, 7])[:, None, None, None]
    parts = [KeyValue(*(side[:, begin:end] for side in (key, value))) for begin, end in ((0, 2), (2, 3), (3, 7))]
    expected, _ = jax.jit(attention)(query, key, value, mask)
    np.testing.assert_allclose(jax.jit(attention.over_parts)(query, parts, mask), expected, atol=1e-6)


def test_steps_in_bfloat16_are_columns_of_attention_in_it(draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where caches are frugal, their numbers are float32."""
    monkeypatch.setattr("transformer.layers.attention._FIRST_PART", 2)
    attention = draw(lambda: make(jnp.bfloat16))
    x_BNTD = jnp.asarray(np.random.default_rng(3).normal(0, 0.5, (2, 1, 3, D_MODEL)), jnp.bfloat16)
    expected_BTD, _ = run(attention, x_BNTD[:, 0], x_BNTD[:, 0], np.tril(np.ones((3, 3), bool))[None, None])
    slot_BNT = jnp.zeros((2, 1, 5), jnp.int32)
    for frugal, kept in ((True, jnp.float32), (False, jnp.bfloat16)):
        cache, column_BND = attention.empty(2, 1, 5, jnp.bfloat16, frugal), x_BNTD[:, :, 0]
        for position in range(3):
            mask = masks.ancestors(slot_BNT, jnp.int32(position))
            column_BND, cache = attention.step(x_BNTD[:, :, position], cache, jnp.int32(position), mask)
        assert {leaf.dtype for leaf in jax.tree.leaves(cache)} == {jnp.dtype(kept)}
        assert column_BND.dtype == jnp.bfloat16
        np.testing.assert_allclose(
            np.float32(column_BND[:, 0]),
            np.float32(expected_BTD[:, 2]),
            atol=0.03 * np.abs(np.float32(expected_BTD)).max(),
        )


def test_dropout_reaches_the_weights(attention, x, memory) -> None:
    mask = np.ones((1, 1, 1, 3), bool)
    without, weights_BHTS = run(attention, x, memory, mask)
    dropout = Dropout.from_key(jax.random.key(0), {"attention": jnp.float32(0.5)})
    output, same_BHTS = run(attention, x, memory, mask, dropout)
    assert np.abs(output - without).max() > 0.1
    np.testing.assert_array_equal(same_BHTS, weights_BHTS)


def test_arithmetic_is_short_and_parameters_and_weights_are_long(draw, attention, x, memory) -> None:
    mask = np.ones((1, 1, 1, 3), bool)
    short = draw(lambda: make(jnp.bfloat16))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(short))
    output, weights = run(short, x.astype(jnp.bfloat16), memory.astype(jnp.bfloat16), mask)
    assert output.dtype == jnp.bfloat16
    assert weights.dtype == jnp.float32
    long, long_weights = run(attention, x, memory, mask)
    np.testing.assert_allclose(weights, long_weights, atol=0.03)
    np.testing.assert_allclose(output.astype(np.float32), long, atol=0.03 * np.abs(long).max())
