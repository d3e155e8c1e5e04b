"""Additive attention: a small feed-forward network scores each pair of query and key; Bahdanau et al. 2015."""

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.ops.attention import additive_scores


class Additive(nnx.Module):
    """vᵀ tanh(W s + U h) as the score of key h for query s; Section A.1.2. One of `attention.Scores`.

    W s and U h are the projected queries and keys that come in: here is the vector v of each head.

    Args:
      heads: how many.
      d_k: width of a head's query and key.
      rngs: initial parameters.
    """

    def __init__(self, heads: int, d_k: int, *, rngs: nnx.Rngs) -> None:
        self.vector_HK = nnx.Param(nnx.initializers.xavier_uniform()(rngs.params(), (heads, d_k), jnp.float32))

    def __call__(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> jax.Array:
        """Float32 scores_BHTS."""
        return additive_scores(query_BTHK, key_BSHK, self.vector_HK[...].astype(query_BTHK.dtype))
