"""Positional encodings that are added to embeddings; Section 3.5."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.ops.positions import sinusoid


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
