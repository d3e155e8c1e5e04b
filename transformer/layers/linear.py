"""Linear layers of attention, feed-forward and recurrent networks; their matmuls are `ops.matmul`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from transformer.ops import matmul

OUTPUT = "linear"  # name of all outputs of linear layers in policies of `jax.checkpoint`
Initializer = Callable[..., jax.Array]
_XAVIER, _ZEROS = nnx.initializers.xavier_uniform(), nnx.initializers.zeros_init()


class LinearWithoutBias(nnx.Module):
    """x W.

    Args:
      in_features: width of inputs.
      out_features: width of outputs.
      dtype: dtype of the matmul; parameters are float32.
      rngs: initial parameters.
      kernel_init: initializer of W; Glorot and Bengio's uniform distribution by default.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        kernel_init: Initializer = _XAVIER,
    ) -> None:
        self.out_features = out_features
        self.dtype = dtype
        self.kernel = nnx.Param(kernel_init(rngs.params(), (in_features, out_features), jnp.float32))

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Maps [..., D] to [..., F] in the layer's dtype."""
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1]).astype(self.dtype)
        y_NF = checkpoint_name(self._matmul(x_ND, self.kernel[...].astype(self.dtype)), OUTPUT)
        return y_NF.reshape(*x_BTD.shape[:-1], self.out_features)

    def _matmul(self, x_ND: jax.Array, kernel_DF: jax.Array) -> jax.Array:
        return matmul.nn(x_ND, kernel_DF, x_ND.dtype)


class Linear(LinearWithoutBias):
    """x W + b.

    Args:
      in_features, out_features, dtype, rngs, kernel_init: as for `LinearWithoutBias`.
      bias_init: initializer of b; zeros by default.
      train_bias: whether b has a gradient. Without one it keeps its initial or loaded value.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        kernel_init: Initializer = _XAVIER,
        bias_init: Initializer = _ZEROS,
        train_bias: bool = True,
    ) -> None:
        super().__init__(in_features, out_features, dtype=dtype, rngs=rngs, kernel_init=kernel_init)
        self.bias = nnx.Param(bias_init(rngs.params(), (out_features,), jnp.float32))
        self.train_bias = train_bias

    def _matmul(self, x_ND: jax.Array, kernel_DF: jax.Array) -> jax.Array:
        bias_F = self.bias[...] if self.train_bias else jax.lax.stop_gradient(self.bias[...])
        return matmul.affine(x_ND, kernel_DF, bias_F.astype(self.dtype))
