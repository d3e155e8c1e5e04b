"""Score functions of attention: how well a key answers a query, in self- and cross-attention; and top-k weights.

A new score is a subclass of `Score` in this file and an entry of `SCORES` in models/build.py.
"""

import dataclasses
import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.ops.attention import additive_scores, dot_scores, top_k_softmax

_EPSILON = 1e-12  # least squared length of a normalised vector, so that the gradient at zero is finite


class ScoreTerms(NamedTuple):
    """The two factors of a score: score_BHTS = raw_BHTS · factor_H, broadcast over the other axes."""

    raw_BHTS: jax.Array  # float32, before scaling
    factor_H: jax.Array  # float32, one scale per head; ones if the score has no scale


class Score:
    """Base class of score functions.

    Attributes:
      name: for headings, such as "dot".
      raw_formula: the raw score of query q and key k as plain text, such as "q·k".
      formula: the complete score, such as "q·k · scale".
    """

    name: ClassVar[str]
    raw_formula: ClassVar[str]
    formula: ClassVar[str]

    def terms(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> ScoreTerms:
        """Returns the score before scaling, and the scale of each head."""
        raise NotImplementedError

    def __call__(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> jax.Array:
        """Returns float32 scores_BHTS."""
        raw_BHTS, factor_H = self.terms(query_BTHK, key_BSHK)
        return raw_BHTS * factor_H.reshape(1, -1, 1, 1)


@dataclasses.dataclass(frozen=True)
class DotScore(Score):
    """Q Kᵀ · scale; Eq. 1. With projected queries and keys, the "general" score of Luong et al. 2015.

    Attributes:
      scale: 1 / √d_k in the paper.
    """

    name = "dot"
    raw_formula = "q·k"
    formula = "q·k · scale"

    scale: float

    def terms(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> ScoreTerms:
        """Returns Q Kᵀ, and `scale` for each head."""
        return ScoreTerms(dot_scores(query_BTHK, key_BSHK, 1.0), jnp.full(query_BTHK.shape[2], self.scale, jnp.float32))

    def __call__(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> jax.Array:
        """Returns float32 scores_BHTS."""
        return dot_scores(query_BTHK, key_BSHK, self.scale)


class LearnedScaleDotScore(nnx.Module, Score):
    """Q Kᵀ with a learned scale for each head.

    Args:
      heads: number of heads.
      scale: initial scale of each head.
    """

    name = "dot, learned scale"
    raw_formula = "q·k"
    formula = "q·k · scale"

    def __init__(self, heads: int, scale: float) -> None:
        self.scale_H = nnx.Param(jnp.full(heads, scale, jnp.float32))

    def terms(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> ScoreTerms:
        """Returns Q Kᵀ, and the learned scales."""
        return ScoreTerms(dot_scores(query_BTHK, key_BSHK, 1.0), self.scale_H[...])


class AdditiveScore(nnx.Module, Score):
    """vᵀ tanh(W s + U h), a feed-forward network with one hidden layer; Section A.1.2 of Bahdanau et al. 2015.

    W s and U h are the projected queries and keys that the score receives; this module holds the vector v of each head.

    Args:
      heads: number of heads.
      d_k: width of a head's query and key.
      rngs: initial parameters.
    """

    name = "additive"
    raw_formula = formula = "vᵀ tanh(q + k)"

    def __init__(self, heads: int, d_k: int, *, rngs: nnx.Rngs) -> None:
        self.vector_HK = nnx.Param(nnx.initializers.xavier_uniform()(rngs.params(), (heads, d_k), jnp.float32))

    def terms(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> ScoreTerms:
        """Returns vᵀ tanh(q + k), and ones."""
        raw_BHTS = additive_scores(query_BTHK, key_BSHK, self.vector_HK[...].astype(query_BTHK.dtype))
        return ScoreTerms(raw_BHTS, jnp.ones(raw_BHTS.shape[1], jnp.float32))


class CosineScore(nnx.Module, Score):
    """Cosine of query and key times a learned scale exp(τ) for each head; Henry et al. 2020, *Query-Key Normalization*.

    Departs: one scale per head and not one per layer, learned as its logarithm, so that it stays positive. It starts
    at √d_k: scores of random directions then have variance 1, as those of Eq. 1 have. The paper starts at
    log2(L² - L) for sequences of length L.

    Args:
      heads: number of heads.
      d_k: width of a head's query and key.
    """

    name = "cosine"
    raw_formula = "q̂·k̂"
    formula = "q̂·k̂ · exp(τ)"

    def __init__(self, heads: int, d_k: int) -> None:
        self.log_scale_H = nnx.Param(jnp.full(heads, 0.5 * math.log(d_k), jnp.float32))

    def terms(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> ScoreTerms:
        """Returns the cosines, and exp(τ)."""
        return ScoreTerms(dot_scores(_unit(query_BTHK), _unit(key_BSHK), 1.0), jnp.exp(self.log_scale_H[...]))


def _unit(x_BTHK: jax.Array) -> jax.Array:
    """Vectors of length 1 and the same direction and dtype, computed in float32."""
    x = x_BTHK.astype(jnp.float32)
    squared_length = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return (x * jax.lax.rsqrt(jnp.maximum(squared_length, _EPSILON))).astype(x_BTHK.dtype)


@dataclasses.dataclass(frozen=True)
class TopKWeights:
    """Attention weights that are a softmax over the `count` largest scores of a query; one of `WeightsFn`.

    Attributes:
      count: number of keys that a query attends to.
    """

    count: int

    def __call__(self, scores_BHTS: jax.Array, mask: jax.Array) -> jax.Array:
        """Returns weights_BHTS."""
        return top_k_softmax(scores_BHTS, mask, self.count)
