"""Embeddings and the output projection, which may share one matrix; Section 3.4."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.ops import matmul


class Embedding(nnx.Module):
    """A table of one vector per token, for the lookup of tokens and for logits.

    Args:
      vocab_size: number of rows.
      d_model: width of a vector.
      scale: factor of embedded vectors; √d_model in the paper.
      dtype: dtype of embedded vectors and of the matmul; the table is float32.
      rngs: initial parameters.
      initializer: of the table; None: normal with standard deviation 1 / √d_model, so that scaled
        embeddings have variance 1.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        *,
        scale: float,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        initializer: Callable[..., jax.Array] | None = None,
    ) -> None:
        initializer = initializer or nnx.initializers.normal(1 / math.sqrt(d_model))
        self.scale = scale
        self.dtype = dtype
        self.table_VD = nnx.Param(initializer(rngs.params(), (vocab_size, d_model), jnp.float32))

    def __call__(self, token_BT: jax.Array) -> jax.Array:
        """Embeds tokens: int32 [...] to [..., D]."""
        return (self.table_VD[...][token_BT] * self.scale).astype(self.dtype)

    def logits(self, hidden_BTD: jax.Array) -> jax.Array:
        """Computes the inner product with every row, the pre-softmax linear layer: [..., D] to float32 [..., V]."""
        hidden_ND = hidden_BTD.reshape(-1, hidden_BTD.shape[-1]).astype(self.dtype)
        logits_NV = matmul.nt(hidden_ND, self.table_VD[...].astype(self.dtype), jnp.float32)
        return logits_NV.reshape(*hidden_BTD.shape[:-1], -1)


class BiasedOutput(nnx.Module):
    """The output projection with a bias per token, as in Marian; the paper has none.

    Args:
      embedding: the table of the projection.
      vocab_size: number of tokens.
    """

    def __init__(self, embedding: Embedding, vocab_size: int) -> None:
        self.embedding = embedding
        self.bias_V = nnx.Param(jnp.zeros(vocab_size, jnp.float32))

    def logits(self, hidden_BTD: jax.Array) -> jax.Array:
        """Computes `Embedding.logits` plus the biases: [..., D] to float32 [..., V]."""
        logits_BTV = self.embedding.logits(hidden_BTD)
        return logits_BTV + self.bias_V[...].reshape((1,) * (logits_BTV.ndim - 1) + (-1,))
