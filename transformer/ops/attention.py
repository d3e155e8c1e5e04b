"""Scaled dot-product attention, Section 3.2.1, Eq. 1, and attention with other scores."""

import jax
import jax.numpy as jnp

from transformer.ops.dropout import Dropout, drop

# Finite, so that a row that may look at nothing gives the mean of the values and not NaN.
_MINUS_INFINITY = -1e30


def dot_product_attention(
    query_BTHK: jax.Array,
    key_BSHK: jax.Array,
    value_BSHU: jax.Array,
    mask: jax.Array,
    scale: float,
    dropout: Dropout | None = None,
) -> tuple[jax.Array, jax.Array]:
    """softmax(Q Kᵀ · scale) V for every head at once.

    Args:
      query_BTHK, key_BSHK, value_BSHU: what asks, what is asked, and what is answered.
      mask: bool, broadcastable to [B, H, T, S]; False where a query may not look.
      scale: 1 / √d_k in the paper.
      dropout: drops attention weights where it has a rate for "attention".

    Returns:
      context_BTHU and weights_BHTS, each row of which sums to one (before dropout, which acts on the context only).
      Scores and softmax are float32 whatever the inputs are. Weights nobody uses cost nothing under `jit`.
    """
    return attend(dot_scores(query_BTHK, key_BSHK, scale), value_BSHU, mask, dropout)


def dot_scores(query_BTHK: jax.Array, key_BSHK: jax.Array, scale: float) -> jax.Array:
    """Q Kᵀ · scale, float32 scores_BHTS."""
    return jnp.einsum("bthk,bshk->bhts", query_BTHK, key_BSHK, preferred_element_type=jnp.float32) * scale


def additive_scores(query_BTHK: jax.Array, key_BSHK: jax.Array, vector_HK: jax.Array) -> jax.Array:
    """vᵀ tanh(q + k) for each query and key, float32 scores_BHTS; Section A.1.2 of Bahdanau et al. 2015."""
    sum_BTSHK = query_BTHK[:, :, None] + key_BSHK[:, None]
    return jnp.einsum("btshk,hk->bhts", jnp.tanh(sum_BTSHK), vector_HK, preferred_element_type=jnp.float32)


def attend(
    scores_BHTS: jax.Array, value_BSHU: jax.Array, mask: jax.Array, dropout: Dropout | None = None
) -> tuple[jax.Array, jax.Array]:
    """The weighted sum of the values, for any scores; arguments and results as for `dot_product_attention`."""
    weights_BHTS = softmax(scores_BHTS, mask)
    kept_BHTS = drop(weights_BHTS, dropout, "attention").astype(value_BSHU.dtype)
    return jnp.einsum("bhts,bshu->bthu", kept_BHTS, value_BSHU), weights_BHTS


def softmax(scores_BHTS: jax.Array, mask: jax.Array) -> jax.Array:
    """Weights that sum to one over the last axis, 0 where `mask` is False."""
    return jax.nn.softmax(jnp.where(mask, scores_BHTS, _MINUS_INFINITY), axis=-1)
