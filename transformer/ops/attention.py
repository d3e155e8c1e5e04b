"""Scaled dot-product attention; Section 3.2.1, Eq. 1."""

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
    scores_BHTS = jnp.einsum("bthk,bshk->bhts", query_BTHK, key_BSHK, preferred_element_type=jnp.float32)
    scores_BHTS = jnp.where(mask, scores_BHTS * scale, _MINUS_INFINITY)
    weights_BHTS = jax.nn.softmax(scores_BHTS, axis=-1)
    kept_BHTS = drop(weights_BHTS, dropout, "attention").astype(value_BSHU.dtype)
    context_BTHU = jnp.einsum("bhts,bshu->bthu", kept_BHTS, value_BSHU)
    return context_BTHU, weights_BHTS
