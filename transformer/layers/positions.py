"""What is added to embeddings to tell positions apart; Section 3.5."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.ops.positions import sinusoid


@dataclasses.dataclass(frozen=True)
class Sinusoids:
    """Sine and cosine of the position, in wavelengths from 2π to 10000 · 2π.

    Attributes:
      d_model: width.
    """

    d_model: int

    def __call__(self, position_T: jax.Array) -> jax.Array:
        """Float32 [T, D]."""
        return sinusoid(position_T, self.d_model)


@dataclasses.dataclass(frozen=True)
class Nothing:
    """No positions: the model then sees a bag of words, but for its causal mask, or but for what rotates.

    Attributes:
      d_model: width.
    """

    d_model: int

    def __call__(self, position_T: jax.Array) -> jax.Array:
        """Zeros, float32 [T, D]."""
        return jnp.zeros((position_T.shape[0], self.d_model), jnp.float32)


class Learned(nnx.Module):
    """A learned vector for each position; Table 3, row (E).

    Args:
      d_model: width.
      positions: how many there are.
      rngs: initial parameters.
    """

    def __init__(self, d_model: int, positions: int, *, rngs: nnx.Rngs) -> None:
        # Of the size of sinusoids, whose mean square is a half.
        initial = nnx.initializers.normal(0.5**0.5)
        self.table_PD = nnx.Param(initial(rngs.params(), (positions, d_model), jnp.float32))

    def __call__(self, position_T: jax.Array) -> jax.Array:
        """Float32 [T, D].

        Raises:
          ValueError: more positions than there are vectors.
        """
        rows = self.table_PD.shape[0]
        if position_T.shape[0] > rows:
            raise ValueError(
                f"a sequence of {position_T.shape[0]} positions, but model.max_positions={rows} of them are learned"
            )
        return self.table_PD[...][position_T]
