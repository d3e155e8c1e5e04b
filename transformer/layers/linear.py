"""The linear layers inside attention, feed-forward and recurrent networks."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.ops import products

Initializer = Callable[..., jax.Array]
_XAVIER, _ZEROS = nnx.initializers.xavier_uniform(), nnx.initializers.zeros_init()


class Linear(nnx.Module):
    """x W + b whose products, and those of its gradient, are `ops.products`.

    Args:
      inputs: width of what comes in.
      outputs: width of what goes out.
      dtype: of the matrix products; parameters are float32.
      rngs: initial parameters.
      bias: whether there is b.
      kernel_init: how W begins; Glorot and Bengio's uniform distribution by default.
      bias_init: how b begins; with zeros by default.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        bias: bool = True,
        kernel_init: Initializer = _XAVIER,
        bias_init: Initializer = _ZEROS,
    ) -> None:
        self.outputs = outputs
        self.dtype = dtype
        self.kernel = nnx.Param(kernel_init(rngs.params(), (inputs, outputs), jnp.float32))
        self.bias = nnx.Param(bias_init(rngs.params(), (outputs,), jnp.float32)) if bias else None

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """[..., D] to [..., F], in the layer's dtype."""
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1]).astype(self.dtype)
        kernel_DF = self.kernel[...].astype(self.dtype)
        if self.bias is None:
            found_NF = products.nn(x_ND, kernel_DF, x_ND.dtype)
        else:
            found_NF = products.affine(x_ND, kernel_DF, self.bias[...].astype(self.dtype))
        return found_NF.reshape(*x_BTD.shape[:-1], self.outputs)
