"""The linear layers inside attention, feed-forward and recurrent networks."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.ops import products

Initializer = Callable[..., jax.Array]
_XAVIER, _ZEROS = nnx.initializers.xavier_uniform(), nnx.initializers.zeros_init()


class Linear(nnx.Linear):
    """`nnx.Linear` whose products, and those of its gradient, are `ops.products`."""

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """x W + b, [..., D] to [..., F], in the layer's dtype."""
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1]).astype(self.dtype)
        kernel_DF = self.kernel[...].astype(self.dtype)
        if self.bias is None:
            found_NF = products.nn(x_ND, kernel_DF, x_ND.dtype)
        else:
            found_NF = products.affine(x_ND, kernel_DF, self.bias[...].astype(self.dtype))
        return found_NF.reshape(*x_BTD.shape[:-1], -1)


def linear(
    inputs: int,
    outputs: int,
    *,
    dtype: jnp.dtype,
    rngs: nnx.Rngs,
    bias: bool = True,
    kernel_init: Initializer = _XAVIER,
    bias_init: Initializer = _ZEROS,
) -> Linear:
    """x W + b, [..., inputs] to [..., outputs], from Glorot and Bengio's uniform distribution and a bias of zero.

    Args:
      inputs: width of what comes in.
      outputs: width of what goes out.
      dtype: of the matrix products.
      rngs: initial parameters.
      bias: whether there is b.
      kernel_init, bias_init: other beginnings of W and b.
    """
    return Linear(inputs, outputs, use_bias=bias, kernel_init=kernel_init, bias_init=bias_init, dtype=dtype, rngs=rngs)
