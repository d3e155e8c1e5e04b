"""Positional encodings that are added to embeddings (Section 3.5), and terms of scores that depend on distances."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.ops.positions import alibi, relative_scores, sinusoid


@dataclasses.dataclass(frozen=True)
class SinusoidPositions:
    """Sines and cosines of the position, with wavelengths from 2π to 10000 · 2π.

    Attributes:
      d_model: width.
    """

    d_model: int

    def __call__(self, position_T: jax.Array) -> jax.Array:
        """Returns float32 [T, D]."""
        return sinusoid(position_T, self.d_model)


@dataclasses.dataclass(frozen=True)
class NoPositions:
    """No positional encoding: only a causal mask or rotary positions then distinguish positions.

    Attributes:
      d_model: width.
    """

    d_model: int

    def __call__(self, position_T: jax.Array) -> jax.Array:
        """Returns zeros, float32 [T, D]."""
        return jnp.zeros((position_T.shape[0], self.d_model), jnp.float32)


class LearnedPositions(nnx.Module):
    """A learned vector for each position; Table 3, row (E).

    Args:
      d_model: width.
      positions: number of positions.
      rngs: initial parameters.
    """

    def __init__(self, d_model: int, positions: int, *, rngs: nnx.Rngs) -> None:
        # The mean square of sinusoids is 1/2.
        initializer = nnx.initializers.normal(0.5**0.5)
        self.table_PD = nnx.Param(initializer(rngs.params(), (positions, d_model), jnp.float32))

    def __call__(self, position_T: jax.Array) -> jax.Array:
        """Returns float32 [T, D].

        Raises:
          ValueError: a sequence is longer than `positions`.
        """
        positions = self.table_PD.shape[0]
        if position_T.shape[0] > positions:
            raise ValueError(
                f"sequence of {position_T.shape[0]} positions, but model.max_positions={positions}; raise it"
            )
        return self.table_PD[...][position_T]


class DistanceScore:
    """Base class of terms that self-attention adds to its scores. They depend on the distance of query and key.

    Packed rows need no special case: a sentence is contiguous, so distances in its row are those in the sentence.

    Attributes:
      name: the formula of the term, for headings.
    """

    name: ClassVar[str]

    def __call__(self, query_BTHK: jax.Array, query_position_T: jax.Array, key_position_S: jax.Array) -> jax.Array:
        """Returns the terms, float32, [B, H, T, S] or [1, H, T, S]."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class LinearBiases(DistanceScore):
    """ALiBi: -slope · |distance|, with one fixed slope per head; Press et al. 2022, *Train Short, Test Long*.

    Departs: the paper's models are causal; in an encoder, distances to later keys count equally.

    Attributes:
      heads: number of heads.
    """

    name = "-slope·distance"

    heads: int

    def __call__(self, query_BTHK: jax.Array, query_position_T: jax.Array, key_position_S: jax.Array) -> jax.Array:
        """Returns float32 [1, H, T, S]."""
        return alibi(query_position_T, key_position_S, self.heads)[None]


class RelativeKeys(nnx.Module, DistanceScore):
    """Learned vectors, one per distance up to ±16, that are added to keys; Shaw et al. 2018, Eq. 4.

    All heads of a layer share them, as in the paper.

    Departs: no vectors are added to values, which changes no score in the paper's Table 3.

    Args:
      d_k: width of a head's query and key.
      scale: factor of the dot products.
      rngs: initial parameters.
    """

    name = "q·a·scale"
    longest = 16  # k of the paper's Section 4.1

    def __init__(self, d_k: int, scale: float, *, rngs: nnx.Rngs) -> None:
        initializer = nnx.initializers.xavier_uniform()
        self.scale = scale
        self.vector_PK = nnx.Param(initializer(rngs.params(), (2 * self.longest + 1, d_k), jnp.float32))

    def __call__(self, query_BTHK: jax.Array, query_position_T: jax.Array, key_position_S: jax.Array) -> jax.Array:
        """Returns float32 [B, H, T, S]."""
        vector_PK = self.vector_PK[...].astype(query_BTHK.dtype)
        return relative_scores(query_BTHK, vector_PK, query_position_T, key_position_S) * self.scale
