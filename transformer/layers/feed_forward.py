"""Position-wise feed-forward network; Section 3.3."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.linear import Linear
from transformer.ops.dropout import Dropout, drop


class FeedForward(nnx.Module):
    """FFN(x) = max(0, x W_1 + b_1) W_2 + b_2, applied to each position separately; Eq. 2.

    Args:
      d_model: width of inputs and outputs.
      d_ff: inner width.
      activation: max(0, ·) in the paper.
      dtype: dtype of the matmuls.
      rngs: initial parameters.
    """

    def __init__(
        self, d_model: int, d_ff: int, *, activation: Callable[[jax.Array], jax.Array], dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        self.activation = activation
        self.inner = Linear(d_model, d_ff, dtype=dtype, rngs=rngs)
        self.outer = Linear(d_ff, d_model, dtype=dtype, rngs=rngs)

    def __call__(self, x_BTD: jax.Array, dropout: Dropout | None = None) -> jax.Array:
        """Maps [..., D] to [..., D]."""
        inner_BTF = drop(self.activation(self.inner(x_BTD)), dropout, "feed_forward")
        return self.outer(inner_BTF)


class GatedFeedForward(nnx.Module):
    """(Swish(x W_1 + b_1) ⊙ (x W_3 + b_3)) W_2 + b_2: SwiGLU; Shazeer 2020, Eq. 6, with the biases of Eq. 2.

    `activation` replaces Swish.

    It has 1.5 times the parameters of `FeedForward` of the same width.

    Args:
      d_model: width of inputs and outputs.
      d_ff: inner width.
      activation: of the gate; Swish in SwiGLU.
      dtype: dtype of the matmuls.
      rngs: initial parameters.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        *,
        activation: Callable[[jax.Array], jax.Array] = jax.nn.swish,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ) -> None:
        self.activation = activation
        self.inner = Linear(d_model, d_ff, dtype=dtype, rngs=rngs)
        self.gate = Linear(d_model, d_ff, dtype=dtype, rngs=rngs)
        self.outer = Linear(d_ff, d_model, dtype=dtype, rngs=rngs)

    def __call__(self, x_BTD: jax.Array, dropout: Dropout | None = None) -> jax.Array:
        """Maps [..., D] to [..., D]."""
        inner_BTF = drop(self.activation(self.inner(x_BTD)) * self.gate(x_BTD), dropout, "feed_forward")
        return self.outer(inner_BTF)


def no_feed_forward(x_BTD: jax.Array, dropout: Dropout | None = None) -> jax.Array:
    """Returns `x_BTD` unchanged; for models without a feed-forward network."""
    del dropout
    return x_BTD
