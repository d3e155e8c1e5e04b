"""What tells one position from another; Section 3.5."""

import jax
import jax.numpy as jnp


def sinusoid(position_T: jax.Array, d_model: int) -> jax.Array:
    """Sinusoids of wavelengths from 2π to 10000 · 2π, sine and cosine interleaved; float32 [T, D].

    PE(pos, 2i) = sin(pos / 10000^(2i / d_model)), PE(pos, 2i + 1) = cos(pos / 10000^(2i / d_model)).
    """
    channel = jnp.arange(d_model)
    wavelength = 10000.0 ** ((channel - channel % 2) / d_model)
    angle = position_T.astype(jnp.float32)[:, None] / wavelength[None, :]
    return jnp.where((channel % 2 == 0)[None, :], jnp.sin(angle), jnp.cos(angle))


def none(position_T: jax.Array, d_model: int) -> jax.Array:
    """No positions: zeros [T, D]; the model then sees a bag of words except for its causal mask."""
    return jnp.zeros((position_T.shape[0], d_model), jnp.float32)
