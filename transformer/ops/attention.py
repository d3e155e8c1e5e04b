"""Scaled dot-product attention, Section 3.2.1, Eq. 1, and attention with other scores."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from transformer.ops import matmul
from transformer.ops.dropout import Dropout, drop

Weigh = Callable[[jax.Array, jax.Array], jax.Array]  # (scores_BHTS, mask) to weights_BHTS, 0 where the mask is False

# Finite, so that a row that may look at nothing gives the mean of the values and not NaN.
_MINUS_INFINITY = -1e30


def dot_scores(query_BTHK: jax.Array, key_BSHK: jax.Array, scale: float) -> jax.Array:
    """Q Kᵀ · scale, float32 scores_BHTS."""
    query_BHTK, key_BHSK = query_BTHK.swapaxes(1, 2), key_BSHK.swapaxes(1, 2)
    return matmul.nt(query_BHTK, key_BHSK, jnp.float32) * scale


def additive_scores(query_BTHK: jax.Array, key_BSHK: jax.Array, vector_HK: jax.Array) -> jax.Array:
    """vᵀ tanh(q + k) for each query and key, float32 scores_BHTS; Section A.1.2 of Bahdanau et al. 2015."""
    sum_BTSHK = query_BTHK[:, :, None] + key_BSHK[:, None]
    return jnp.einsum("btshk,hk->bhts", jnp.tanh(sum_BTSHK), vector_HK, preferred_element_type=jnp.float32)


def softmax(scores_BHTS: jax.Array, mask: jax.Array) -> jax.Array:
    """Weights that sum to one over the last axis, 0 where `mask` is False; Eq. 1."""
    return jax.nn.softmax(jnp.where(mask, scores_BHTS, _MINUS_INFINITY), axis=-1)


def sigmoid(scores_BHTS: jax.Array, mask: jax.Array) -> jax.Array:
    """σ(score - log n) for n visible keys: each weight by itself, of about 1/n at first; Ramapuram et al. 2025."""
    count = jnp.maximum(jnp.sum(mask, axis=-1, keepdims=True), 1).astype(jnp.float32)
    return jnp.where(mask, jax.nn.sigmoid(scores_BHTS - jnp.log(count)), 0.0)


def uniform(scores_BHTS: jax.Array, mask: jax.Array) -> jax.Array:
    """The same weight for all visible keys, whatever their scores: what is left without a softmax that chooses."""
    return softmax(jnp.zeros_like(scores_BHTS), mask)


def largest(scores_BHTS: jax.Array, mask: jax.Array, count: int) -> jax.Array:
    """A softmax over the `count` visible keys with the largest scores, and those that equal the last of them."""
    scores_BHTS = jnp.where(mask, scores_BHTS, _MINUS_INFINITY)
    least = jax.lax.top_k(scores_BHTS, min(count, scores_BHTS.shape[-1]))[0][..., -1:]
    return softmax(scores_BHTS, scores_BHTS >= least)


def attend(
    scores_BHTS: jax.Array,
    value_BSHU: jax.Array,
    mask: jax.Array,
    dropout: Dropout | None = None,
    weigh: Weigh = softmax,
) -> tuple[jax.Array, jax.Array]:
    """softmax(scores) V for every head at once; with `dot_scores`, Eq. 1.

    Args:
      scores_BHTS: how well each key answers each query.
      value_BSHU: what the keys stand for.
      mask: bool, broadcastable to [B, H, T, S]; False where a query may not look.
      dropout: drops attention weights where it has a rate for "attention".
      weigh: turns scores into weights.

    Returns:
      context_BTHU and weights_BHTS, each row of which sums to one with `softmax` (before dropout, which acts on the
      context only). Scores and softmax are float32 whatever the inputs are. Weights that nobody uses cost nothing
      under `jit`.
    """
    weights_BHTS = weigh(scores_BHTS, mask)
    return context(drop(weights_BHTS, dropout, "attention"), value_BSHU), weights_BHTS


def context(weights_BHTS: jax.Array, value_BSHU: jax.Array) -> jax.Array:
    """The values' sum by these weights, context_BTHU of their dtype."""
    value_BHSU = value_BSHU.swapaxes(1, 2)
    return matmul.nn(weights_BHTS.astype(value_BSHU.dtype), value_BHSU, value_BSHU.dtype).swapaxes(1, 2)
