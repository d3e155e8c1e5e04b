"""Scaled dot-product attention (Section 3.2.1, Eq. 1) and attention with other scores."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from transformer.ops import matmul
from transformer.ops.dropout import Dropout, drop

WeightsFn = Callable[[jax.Array, jax.Array], jax.Array]  # (scores_BHTS, mask) → weights_BHTS, 0 where mask is False

# Finite, so that a fully masked row gives the mean of the values and not NaN.
_MASKED_SCORE = -1e30


def dot_scores(query_BTHK: jax.Array, key_BSHK: jax.Array, scale: float) -> jax.Array:
    """Computes Q Kᵀ · scale, float32 scores_BHTS."""
    query_BHTK, key_BHSK = query_BTHK.swapaxes(1, 2), key_BSHK.swapaxes(1, 2)
    return matmul.nt(query_BHTK, key_BHSK, jnp.float32) * scale


def additive_scores(query_BTHK: jax.Array, key_BSHK: jax.Array, vector_HK: jax.Array) -> jax.Array:
    """Computes vᵀ tanh(q + k) for each query and key, float32 scores_BHTS; Section A.1.2 of Bahdanau et al. 2015."""
    sum_BTSHK = query_BTHK[:, :, None] + key_BSHK[:, None]
    return jnp.einsum("btshk,hk->bhts", jnp.tanh(sum_BTSHK), vector_HK, preferred_element_type=jnp.float32)


def softmax(scores_BHTS: jax.Array, mask: jax.Array) -> jax.Array:
    """Computes weights that sum to one over the last axis and are 0 where `mask` is False; Eq. 1."""
    return jax.nn.softmax(jnp.where(mask, scores_BHTS, _MASKED_SCORE), axis=-1)


def sigmoid(scores_BHTS: jax.Array, mask: jax.Array) -> jax.Array:
    """Computes σ(score - log n) for n visible keys; Ramapuram et al. 2025.

    Each weight is independent of the others. At initialisation it is about 1/n.
    """
    count = jnp.maximum(jnp.sum(mask, axis=-1, keepdims=True), 1).astype(jnp.float32)
    return jnp.where(mask, jax.nn.sigmoid(scores_BHTS - jnp.log(count)), 0.0)


def uniform(scores_BHTS: jax.Array, mask: jax.Array) -> jax.Array:
    """Computes equal weights for all visible keys, whatever their scores: the ablation of content-based weights."""
    return softmax(jnp.zeros_like(scores_BHTS), mask)


def top_k_softmax(scores_BHTS: jax.Array, mask: jax.Array, count: int) -> jax.Array:
    """Computes a softmax over the `count` visible keys with the largest scores, and ties with the last of them."""
    scores_BHTS = jnp.where(mask, scores_BHTS, _MASKED_SCORE)
    threshold = jax.lax.top_k(scores_BHTS, min(count, scores_BHTS.shape[-1]))[0][..., -1:]
    return softmax(scores_BHTS, scores_BHTS >= threshold)


def attend(
    scores_BHTS: jax.Array,
    value_BSHU: jax.Array,
    mask: jax.Array,
    dropout: Dropout | None = None,
    weights_fn: WeightsFn = softmax,
) -> tuple[jax.Array, jax.Array]:
    """Computes softmax(scores) V for all heads; with `dot_scores`, Eq. 1.

    Args:
      scores_BHTS: score of each key for each query.
      value_BSHU: values.
      mask: bool, broadcastable to [B, H, T, S]; False where a query may not attend.
      dropout: drops attention weights if it has a rate for "attention".
      weights_fn: turns scores into weights.

    Returns:
      context_BTHU and weights_BHTS. With `softmax` each row of the weights sums to one. They are the weights before
      dropout, which affects only the context. Scores and softmax are float32 whatever the dtype of the inputs. Unused
      weights cost nothing under `jit`.
    """
    weights_BHTS = weights_fn(scores_BHTS, mask)
    return context(drop(weights_BHTS, dropout, "attention"), value_BSHU), weights_BHTS


def context(weights_BHTS: jax.Array, value_BSHU: jax.Array) -> jax.Array:
    """Computes the weighted sum of the values, context_BTHU in their dtype."""
    value_BHSU = value_BSHU.swapaxes(1, 2)
    return matmul.nn(weights_BHTS.astype(value_BSHU.dtype), value_BHSU, value_BSHU.dtype).swapaxes(1, 2)
