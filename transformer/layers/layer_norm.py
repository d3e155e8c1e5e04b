"""Layer normalisation (Ba et al. 2016), as in Section 3.1, and RMS normalisation (Zhang & Sennrich 2019)."""

import jax
import jax.numpy as jnp
from flax import nnx


class LayerNorm(nnx.Module):
    """Normalises each vector to mean 0 and variance 1, then applies a learned scale and bias.

    Args:
      d_model: width of the vectors.
      epsilon: added to the variance.
    """

    def __init__(self, d_model: int, *, epsilon: float = 1e-5) -> None:
        self.epsilon = epsilon
        self.scale_D = nnx.Param(jnp.ones(d_model, jnp.float32))
        self.bias_D = nnx.Param(jnp.zeros(d_model, jnp.float32))

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Normalises the last axis in float32; returns the dtype of the input."""
        x = x_BTD.astype(jnp.float32)
        mean = jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(x - mean), axis=-1, keepdims=True)
        normal = (x - mean) * jax.lax.rsqrt(variance + self.epsilon)
        vector = (1,) * (x.ndim - 1) + (-1,)
        return (normal * self.scale_D.reshape(vector) + self.bias_D.reshape(vector)).astype(x_BTD.dtype)


class RMSNorm(nnx.Module):
    """Normalises each vector to mean square 1, then applies a learned scale; Zhang & Sennrich 2019.

    Args:
      d_model: width of the vectors.
      epsilon: added to the mean square.
    """

    def __init__(self, d_model: int, *, epsilon: float = 1e-5) -> None:
        self.epsilon = epsilon
        self.scale_D = nnx.Param(jnp.ones(d_model, jnp.float32))

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Normalises the last axis in float32; returns the dtype of the input."""
        x = x_BTD.astype(jnp.float32)
        normal = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + self.epsilon)
        return (normal * self.scale_D.reshape((1,) * (x.ndim - 1) + (-1,))).astype(x_BTD.dtype)
