"""Multi-head attention and its steps. Sizes are different primes: B 2, T 5, S 3, D 13, H 3, K 5, U 2, N 2."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.layers.attention import Attention, MultiHeadAttention
from transformer.layers.kv_cache import KeyValue
from transformer.layers.linear import Linear
from transformer.layers.positions import DistanceScore, LinearBiases, RelativeKeys
from transformer.layers.scores import (
    AdditiveScore,
    CosineScore,
    DotScore,
    LearnedScaleDotScore,
    Score,
    TopKWeights,
)
from transformer.ops import masks
from transformer.ops.attention import sigmoid, softmax
from transformer.ops.dropout import Dropout

D_MODEL, HEADS, D_K, D_V, SCALE = 13, 3, 5, 2, 0.7
SCORES = {
    "dot": lambda: DotScore(SCALE),
    "learned scale": lambda: LearnedScaleDotScore(HEADS, SCALE),
    "additive": lambda: AdditiveScore(HEADS, D_K, rngs=nnx.Rngs(0)),
    "cosine": lambda: CosineScore(HEADS, D_K),
}


DISTANCES: dict[str, Callable[[], DistanceScore]] = {
    "linear biases": lambda: LinearBiases(HEADS),
    "relative keys": lambda: RelativeKeys(D_K, SCALE, rngs=nnx.Rngs(0)),
}


def make(
    dtype=jnp.float32, score: Score | None = None, chunked: bool = False, distance: DistanceScore | None = None
) -> MultiHeadAttention:
    attention = Attention(score or DotScore(SCALE), distance_score=distance)
    sizes = (D_MODEL, HEADS, D_K, D_V)
    return MultiHeadAttention(*sizes, attention=attention, dtype=dtype, chunked_cache=chunked, rngs=nnx.Rngs(0))


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
    """Computes x W + b, or only the columns of one head."""
    columns = slice(None) if head is None else slice(head * size, (head + 1) * size)
    return x @ np.asarray(layer.kernel[...])[:, columns] + np.asarray(layer.bias[...])[columns]


def test_equals_separate_heads(attention, x, memory) -> None:
    """Concat(head_1, ..., head_h) W^O, each head with its own matrices."""
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


def test_key_and_value_sizes_are_independent(attention) -> None:
    layers = [attention.to_query, attention.to_key, attention.to_value, attention.to_output]
    shapes = [layer.kernel.shape for layer in layers]
    assert shapes == [(D_MODEL, 15), (D_MODEL, 15), (D_MODEL, 6), (6, D_MODEL)]


@pytest.mark.parametrize(
    ("score", "chunks"), [("dot", [7]), *((score, [1, 1, 2, 3]) for score in (*SCORES, *DISTANCES))]
)
def test_steps_equal_causal_attention(draw, monkeypatch: pytest.MonkeyPatch, score: str, chunks: list[int]) -> None:
    """For N hypotheses of B sentences that keep their slots, with a cache that is longer than the output."""
    monkeypatch.setattr("transformer.layers.kv_cache.FIRST_CHUNK", 1)
    attention = draw(
        lambda: make(
            score=SCORES[score]() if score in SCORES else None,
            chunked=len(chunks) > 1,
            distance=DISTANCES[score]() if score in DISTANCES else None,
        )
    )
    x_BNTD = np.random.default_rng(3).normal(0, 0.5, (2, 2, 5, D_MODEL)).astype(np.float32)
    step = jax.jit(lambda attention, *arrays: attention.step(*arrays))  # a new function, which was not traced before
    cache = jax.tree.map(lambda leaf: leaf + 1e3, attention.init_cache(2, 2, 7, jnp.float32))
    assert [chunk.key_BHSK.shape[2] for chunk in cache] == [2 * chunk for chunk in chunks]
    slot_BNT = jnp.broadcast_to(jnp.arange(2)[None, :, None], (2, 2, 7))
    columns = []
    for position in range(5):
        mask = masks.beam_history(slot_BNT, position_B := jnp.full(2, position))
        column_BND, cache = step(attention, x_BNTD[:, :, position], cache, position_B, mask)
        columns.append(column_BND)
    for beam in range(2):
        expected_BTD, _ = run(attention, x_BNTD[:, beam], x_BNTD[:, beam], np.tril(np.ones((5, 5), bool))[None, None])
        np.testing.assert_allclose(np.stack(columns, axis=2)[:, beam], expected_BTD, atol=1e-5)
    # The cache holds what `keys_values` returns; slots after the output stay untouched.
    expected = jax.jit(MultiHeadAttention.keys_values)(attention, x_BNTD)
    cached = (np.concatenate(arrays, axis=2) for arrays in zip(*cache, strict=True))
    for cached_BHSK, expected_BNTHK in zip(cached, expected, strict=True):
        by_slot = np.moveaxis(cached_BHSK.reshape(2, HEADS, 7, 2, -1), (1, 2, 3), (3, 2, 1))
        np.testing.assert_allclose(by_slot[:, :, :5], expected_BNTHK, atol=1e-5)
        assert (by_slot[:, :, 5:] == 1e3).all()


@pytest.mark.parametrize("weights_fn", [softmax, sigmoid, TopKWeights(2)])
def test_chunks_equal_the_concatenation(weights_fn) -> None:
    generator = np.random.default_rng(5)
    attention = Attention(DotScore(SCALE), weights_fn)
    query, key, value = (jnp.asarray(generator.normal(0, 1, (2, rows, HEADS, 5)), jnp.float32) for rows in (3, 7, 7))
    mask = np.arange(7) < np.array([5, 7])[:, None, None, None]
    chunks = [KeyValue(*(side[:, start:end] for side in (key, value))) for start, end in ((0, 2), (2, 3), (3, 7))]
    expected, _ = jax.jit(attention)(query, key, value, mask)
    np.testing.assert_allclose(
        jax.jit(attention.attend_chunks)(query, chunks, mask, jnp.zeros(2, jnp.int32)), expected, atol=1e-6
    )


def test_steps_in_bfloat16_equal_attention_in_bfloat16(draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunked caches are float32."""
    monkeypatch.setattr("transformer.layers.kv_cache.FIRST_CHUNK", 2)
    x_BNTD = jnp.asarray(np.random.default_rng(3).normal(0, 0.5, (2, 1, 3, D_MODEL)), jnp.bfloat16)
    slot_BNT = jnp.zeros((2, 1, 5), jnp.int32)
    for chunked, dtype in ((True, jnp.float32), (False, jnp.bfloat16)):
        attention = draw(functools.partial(make, jnp.bfloat16, chunked=chunked))
        expected_BTD, _ = run(attention, x_BNTD[:, 0], x_BNTD[:, 0], np.tril(np.ones((3, 3), bool))[None, None])
        cache, column_BND = attention.init_cache(2, 1, 5, jnp.bfloat16), x_BNTD[:, :, 0]
        step = jax.jit(lambda attention, *arrays: attention.step(*arrays))  # not traced before
        for position in range(3):
            mask = masks.beam_history(slot_BNT, position_B := jnp.full(2, position))
            column_BND, cache = step(attention, x_BNTD[:, :, position], cache, position_B, mask)
        assert {leaf.dtype for leaf in jax.tree.leaves(cache)} == {jnp.dtype(dtype)}
        assert column_BND.dtype == jnp.bfloat16
        np.testing.assert_allclose(
            np.float32(column_BND[:, 0]),
            np.float32(expected_BTD[:, 2]),
            atol=0.03 * np.abs(np.float32(expected_BTD)).max(),
        )


def test_dropout_acts_on_the_weights_of_the_context(attention, x, memory) -> None:
    mask = np.ones((1, 1, 1, 3), bool)
    without, weights_BHTS = run(attention, x, memory, mask)
    dropout = Dropout.from_key(jax.random.key(0), {"attention": jnp.float32(0.5)})
    output, same_BHTS = run(attention, x, memory, mask, dropout)
    assert np.abs(output - without).max() > 0.1
    np.testing.assert_array_equal(same_BHTS, weights_BHTS)


def test_bfloat16_has_float32_parameters_and_weights(draw, attention, x, memory) -> None:
    mask = np.ones((1, 1, 1, 3), bool)
    bfloat16 = draw(lambda: make(jnp.bfloat16))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(bfloat16))
    output, weights = run(bfloat16, x.astype(jnp.bfloat16), memory.astype(jnp.bfloat16), mask)
    assert output.dtype == jnp.bfloat16
    assert weights.dtype == jnp.float32
    expected, expected_weights = run(attention, x, memory, mask)
    np.testing.assert_allclose(weights, expected_weights, atol=0.03)
    np.testing.assert_allclose(output.astype(np.float32), expected, atol=0.03 * np.abs(expected).max())


@pytest.mark.parametrize("kind", DISTANCES)
def test_distances_change_the_weights(draw, x, kind: str) -> None:
    """softmax(scores + distance score), with positions of the row."""
    attention = draw(lambda: make(distance=DISTANCES[kind]()))
    _, weights_BHTS = run(attention, x, x, np.ones((1, 1, 1, 5), bool))
    query_BTHK, key_BSHK = (
        linear(layer, x).reshape(2, 5, HEADS, D_K) for layer in (attention.to_query, attention.to_key)
    )
    term = attention.attention.distance_score(jnp.asarray(query_BTHK), jnp.arange(5), jnp.arange(5))
    powers_BHTS = np.exp(SCALE * np.einsum("bthk,bshk->bhts", query_BTHK, key_BSHK) + np.asarray(term))
    np.testing.assert_allclose(weights_BHTS, powers_BHTS / powers_BHTS.sum(axis=-1, keepdims=True), atol=1e-5)
    assert np.abs(np.asarray(term)).max() > 0.01
