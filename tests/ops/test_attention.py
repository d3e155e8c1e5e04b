"""Attention against explicit loops. Sizes are distinct primes: B 2, H 5, T 3, S 7, K 11, U 13."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.ops.attention import attend, dot_scores, sigmoid, softmax, top_k_softmax, uniform
from transformer.ops.dropout import KINDS, Dropout, drop

SCALE = 0.3


def dot_product_attention(query, key, value, mask, scale, dropout=None):
    """Computes Eq. 1 as the layer does."""
    return attend(dot_scores(query, key, scale), value, mask, dropout)


compiled = jax.jit(dot_product_attention)
dropped = jax.jit(drop, static_argnums=2)


def attention(*arguments) -> tuple[np.ndarray, np.ndarray]:
    context_BTHU, weights_BHTS = compiled(*arguments)
    return np.asarray(context_BTHU), np.asarray(weights_BHTS)


@pytest.fixture(scope="module")
def arrays() -> list[np.ndarray]:
    """Returns query_BTHK, key_BSHK, value_BSHU and a mask in which every query sees at least one key."""
    generator = np.random.default_rng(0)
    shapes = [(2, 3, 5, 11), (2, 7, 5, 11), (2, 7, 5, 13)]
    mask = generator.random((2, 5, 3, 7)) < 0.6
    mask[..., 4] = True
    return [*(generator.normal(size=shape).astype(np.float32) for shape in shapes), mask]


def plain_attention(query_BTHK, key_BSHK, value_BSHU, mask_BHTS, scale):
    """Computes attention with explicit loops and sums."""
    rows, queries, heads = query_BTHK.shape[:3]
    context_BTHU = np.zeros((rows, queries, heads, value_BSHU.shape[3]))
    weights_BHTS = np.zeros(mask_BHTS.shape)
    for b, h, t in np.ndindex(rows, heads, queries):
        visible = [s for s in range(key_BSHK.shape[1]) if mask_BHTS[b, h, t, s]]
        powers = [math.exp(scale * float(np.dot(query_BTHK[b, t, h], key_BSHK[b, s, h]))) for s in visible]
        for s, power in zip(visible, powers, strict=True):
            weights_BHTS[b, h, t, s] = power / sum(powers)
            context_BTHU[b, t, h] += weights_BHTS[b, h, t, s] * value_BSHU[b, s, h]
    return context_BTHU, weights_BHTS


def test_equals_explicit_loops(arrays) -> None:
    context_BTHU, weights_BHTS = attention(*arrays, SCALE)
    expected = plain_attention(*arrays, scale=SCALE)
    np.testing.assert_allclose(context_BTHU, expected[0], atol=1e-5)
    np.testing.assert_allclose(weights_BHTS, expected[1], atol=1e-5)


def test_weights_sum_to_one_and_are_zero_where_masked(arrays) -> None:
    weights_BHTS = attention(*arrays, SCALE)[1]
    np.testing.assert_allclose(weights_BHTS.sum(axis=-1), np.ones((2, 5, 3)), atol=1e-6)
    np.testing.assert_array_equal(weights_BHTS > 0, arrays[3])


def test_masked_keys_have_no_influence(arrays) -> None:
    """Neither on the context nor on the gradient, however large they are."""
    query, key, value, _ = arrays
    mask = jnp.asarray((np.arange(7) < np.array([[5], [7]]))[:, None, None])
    before, _ = attention(query, key, value, mask, SCALE)
    key, value = key.copy(), value.copy()
    key[0, 5:] *= 1e4
    value[0, 5:] *= 1e4
    np.testing.assert_array_equal(attention(query, key, value, mask, SCALE)[0], before)

    def total(key, value):
        return jnp.sum(jnp.sin(dot_product_attention(query, key, value, mask, SCALE)[0]))

    for gradient in map(np.asarray, jax.jit(jax.grad(total, (0, 1)))(key, value)):
        assert (gradient[0, 5:] == 0).all()
        assert (gradient[0, :5] != 0).all()


def test_masks_broadcast(arrays) -> None:
    query, key, value, _ = arrays
    for narrow in ((np.arange(7) < np.array([[5], [2]]))[:, None, None], np.tril(np.ones((3, 7), bool))[None, None]):
        actual = attention(query, key, value, narrow, SCALE)
        expected = attention(query, key, value, np.broadcast_to(narrow, (2, 5, 3, 7)), SCALE)
        jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-6), actual, expected)


def test_a_fully_masked_query_gets_the_mean(arrays) -> None:
    query, key, value, mask = arrays
    blind = mask.copy()
    blind[1, 2, 0] = False

    def total(query, key, value):
        actual = dot_product_attention(query, key, value, blind, SCALE)
        return jnp.sum(jnp.sin(actual[0])), actual

    run = jax.jit(jax.grad(total, (0, 1, 2), has_aux=True))
    gradients, (context_BTHU, weights_BHTS) = jax.tree.map(np.asarray, run(query, key, value))
    np.testing.assert_allclose(context_BTHU[1, 0, 2], value[1, :, 2].mean(axis=0), atol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    others = np.ones((2, 5, 3), bool)
    others[1, 2, 0] = False
    np.testing.assert_allclose(weights_BHTS[others], attention(*arrays, SCALE)[1][others], atol=1e-6)


def test_large_scores_do_not_overflow(arrays) -> None:
    """The softmax becomes an argmax."""
    query, key, value, mask = arrays
    _, weights_BHTS = attention(np.float32(1e15) * query, np.float32(1e12) * key, value, mask, 1.0)
    scores_BHTS = np.where(mask, np.einsum("bthk,bshk->bhts", query, key), -np.inf)
    np.testing.assert_array_equal(weights_BHTS, np.eye(7)[scores_BHTS.argmax(axis=-1)])


def test_dropout_affects_the_context_but_not_the_returned_weights(arrays) -> None:
    value = arrays[2]
    dropout = Dropout.from_key(jax.random.key(3), {"attention": jnp.float32(0.4)})
    context_BTHU, weights_BHTS = attention(*arrays, SCALE, dropout)
    without_BTHU, expected_BHTS = attention(*arrays, SCALE)
    np.testing.assert_array_equal(weights_BHTS, expected_BHTS)
    kept_BHTS = dropped(expected_BHTS, dropout, "attention")
    np.testing.assert_allclose(context_BTHU, np.einsum("bhts,bshu->bthu", np.asarray(kept_BHTS), value), atol=1e-5)
    assert np.abs(context_BTHU - without_BTHU).max() > 0.1


def test_other_kinds_of_dropout_have_no_effect(arrays) -> None:
    rates = {kind: jnp.float32(0.9) for kind in KINDS if kind != "attention"}
    others = Dropout.from_key(jax.random.key(3), rates)
    np.testing.assert_array_equal(attention(*arrays, SCALE, others)[0], attention(*arrays, SCALE)[0])


def test_softmax_is_float32_whatever_the_inputs_are(arrays) -> None:
    short = [array.astype(jnp.bfloat16) for array in arrays[:3]]
    context_BTHU, weights_BHTS = attention(*short, arrays[3], SCALE)
    assert context_BTHU.dtype == jnp.bfloat16
    assert weights_BHTS.dtype == jnp.float32
    # Products of bfloat16 numbers are exact in float32, so only their sums are rounded.
    expected = plain_attention(*(array.astype(np.float32) for array in short), mask_BHTS=arrays[3], scale=SCALE)
    np.testing.assert_allclose(weights_BHTS, expected[1], atol=1e-5)
    np.testing.assert_allclose(context_BTHU.astype(np.float32), expected[0], atol=0.03)


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray]:
    """scores_BHTS and a mask, B 2, H 3, T 5, S 7, in which every query sees at least one key."""
    generator = np.random.default_rng(2)
    mask = generator.random((2, 3, 5, 7)) < 0.5
    mask[..., 3] = True
    return generator.normal(size=(2, 3, 5, 7)).astype(np.float32), mask


def test_sigmoid_weights_each_key_independently(scored) -> None:
    scores, mask = scored
    expected = np.where(mask, 1 / (1 + np.exp(-scores) * mask.sum(axis=-1, keepdims=True)), 0)
    np.testing.assert_allclose(sigmoid(scores, mask), expected, atol=1e-6)
    counterpart = scores + np.eye(7)[4].astype(np.float32)  # a larger score of one key takes nothing from the others
    moved = np.asarray(sigmoid(counterpart, mask)) != np.asarray(sigmoid(scores, mask))
    np.testing.assert_array_equal(moved, mask & (np.arange(7) == 4))
    assert (np.asarray(sigmoid(scores, np.zeros_like(mask))) == 0).all()


def test_uniform_weights_give_the_mean_of_the_visible_values(scored) -> None:
    scores, mask = scored
    np.testing.assert_allclose(uniform(scores, mask), mask / mask.sum(axis=-1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 7, 9])
def test_top_k_is_a_softmax_over_the_best_keys(scored, count: int) -> None:
    scores, mask = scored
    hidden = np.where(mask, scores, -np.inf)
    best = mask & (hidden >= np.sort(hidden, axis=-1)[..., ::-1][..., min(count, 7) - 1][..., None])
    assert (best.sum(axis=-1) == np.minimum(count, mask.sum(axis=-1))).all()
    actual = np.asarray(top_k_softmax(scores, mask, count))
    np.testing.assert_allclose(actual, softmax(scores, best), atol=1e-6)
    np.testing.assert_array_equal(actual > 0, best)


def test_attend_uses_weights_fn(scored) -> None:
    scores, mask = scored
    value_BSHU = jnp.asarray(np.random.default_rng(3).normal(size=(2, 7, 3, 11)), jnp.float32)
    context_BTHU, weights_BHTS = attend(scores, value_BSHU, mask, weights_fn=uniform)
    np.testing.assert_array_equal(weights_BHTS, uniform(scores, mask))
    np.testing.assert_allclose(context_BTHU, np.einsum("bhts,bshu->bthu", weights_BHTS, value_BSHU), atol=1e-5)
