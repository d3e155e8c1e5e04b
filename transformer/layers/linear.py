"""The linear layers inside attention, feed-forward and recurrent networks: their products are `ops.products`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.ops import matmul

Initializer = Callable[..., jax.Array]
_XAVIER, _ZEROS = nnx.initializers.xavier_uniform(), nnx.initializers.zeros_init()


class Unbiased(nnx.Module):
    """x W.

    Args:
      inputs: width of what comes in.
      outputs: width of what goes out.
      dtype: of the matrix products; parameters are float32.
      rngs: initial parameters.
      kernel_init: how W begins; Glorot and Bengio's uniform distribution by default.
    """

    def __init__(
        self, inputs: int, outputs: int, *, dtype: jnp.dtype, rngs: nnx.Rngs, kernel_init: Initializer = _XAVIER
    ) -> None:
        self.outputs = outputs
        self.dtype = dtype
        self.kernel = nnx.Param(kernel_init(rngs.params(), (inputs, outputs), jnp.float32))

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """[..., D] to [..., F], in the layer's dtype."""
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1]).astype(self.dtype)
        return self._rows(x_ND, self.kernel[...].astype(self.dtype)).reshape(*x_BTD.shape[:-1], self.outputs)

    def _rows(self, x_ND: jax.Array, kernel_DF: jax.Array) -> jax.Array:
        return matmul.nn(x_ND, kernel_DF, x_ND.dtype)


class Linear(Unbiased):
    """x W + b.

    Args:
      inputs, outputs, dtype, rngs, kernel_init: as for `Unbiased`.
      bias_init: how b begins; with zeros by default.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        kernel_init: Initializer = _XAVIER,
        bias_init: Initializer = _ZEROS,
    ) -> None:
        super().__init__(inputs, outputs, dtype=dtype, rngs=rngs, kernel_init=kernel_init)
        self.bias = nnx.Param(bias_init(rngs.params(), (outputs,), jnp.float32))

    def _rows(self, x_ND: jax.Array, kernel_DF: jax.Array) -> jax.Array:
        return matmul.affine(x_ND, kernel_DF, self.bias[...].astype(self.dtype))
