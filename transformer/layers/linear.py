"""The linear layers inside attention and feed-forward networks."""

import jax.numpy as jnp
from flax import nnx

from transformer.ops.linear import dot_general


def linear(inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> nnx.Linear:
    """x W + b, [..., inputs] to [..., outputs], from Glorot and Bengio's uniform distribution and a bias of zero."""
    xavier = nnx.initializers.xavier_uniform()
    return nnx.Linear(inputs, outputs, kernel_init=xavier, dot_general=dot_general, dtype=dtype, rngs=rngs)
