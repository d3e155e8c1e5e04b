"""Additive scores by hand, and in the place of dot products. Sizes: B 2, T 5, S 3, H 3, K 7, U 2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.layers.attention import Attention
from transformer.layers.scores import Additive
from transformer.ops.dropout import Dropout

HEADS, D_K = 3, 7


@pytest.fixture(scope="module")
def additive(draw) -> Additive:
    return draw(lambda: Additive(HEADS, D_K, rngs=nnx.Rngs(0)))


@pytest.fixture(scope="module")
def arrays() -> list[jax.Array]:
    generator = np.random.default_rng(1)
    shapes = [(2, 5, HEADS, D_K), (2, 3, HEADS, D_K), (2, 3, HEADS, 2)]
    return [jnp.asarray(generator.normal(size=shape), jnp.float32) for shape in shapes]


def test_scores_are_those_of_a_network_with_one_hidden_layer(additive, arrays) -> None:
    query, key, _ = arrays
    scores_BHTS = np.asarray(additive(query, key))
    vector_HK = np.asarray(additive.vector_HK[...])
    for row, head, target, source in np.ndindex(2, HEADS, 5, 3):
        by_hand = vector_HK[head] @ np.tanh(query[row, target, head] + key[row, source, head])
        assert scores_BHTS[row, head, target, source] == pytest.approx(by_hand, abs=1e-5)


def test_weights_are_a_softmax_over_what_the_mask_leaves(additive, arrays) -> None:
    query, key, value = arrays
    mask = jnp.array([[True, True, False], [True, True, True]])[:, None, None]
    context, weights = Attention(additive)(query, key, value, mask)
    scores = np.where(mask, np.asarray(additive(query, key)), -np.inf)
    expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    np.testing.assert_allclose(context, np.einsum("bhts,bshu->bthu", expected, value), atol=1e-6)


def test_dropout_acts_on_the_context_only(additive, arrays) -> None:
    (query, key, value), mask = arrays, jnp.ones((1, 1, 1, 1), bool)
    dropout = Dropout(jnp.arange(2, dtype=jnp.uint32), {"attention": jnp.float32(0.5)}, jnp.uint32(0))
    attention = Attention(additive)
    plain, dropped = attention(query, key, value, mask), attention(query, key, value, mask, dropout)
    np.testing.assert_array_equal(plain[1], dropped[1])
    assert np.abs(plain[0] - dropped[0]).max() > 0.1
