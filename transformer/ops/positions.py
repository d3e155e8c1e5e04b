"""What tells one position from another; Section 3.5."""

import jax
import jax.numpy as jnp
import numpy as np


def sinusoid(position_T: jax.Array, d_model: int) -> jax.Array:
    """Sinusoids of wavelengths from 2π to 10000 · 2π, sine and cosine interleaved; float32 [T, D].

    PE(pos, 2i) = sin(pos / 10000^(2i / d_model)), PE(pos, 2i + 1) = cos(pos / 10000^(2i / d_model)).
    """
    angle = _angles(position_T, d_model)
    is_even = jnp.arange(d_model) % 2 == 0
    return jnp.where(is_even[None, :], jnp.sin(angle), jnp.cos(angle))


def _angles(position_T: jax.Array, channels: int) -> jax.Array:
    """pos / 10000^(2i / channels) for channels 2i and 2i + 1 alike; float32 [T, channels]."""
    channel = jnp.arange(channels)
    wavelength = 10000.0 ** ((channel - channel % 2) / channels)
    return position_T.astype(jnp.float32)[:, None] / wavelength[None, :]


def rotary(x_BTHK: jax.Array, position_T: jax.Array) -> jax.Array:
    """Turns each pair of channels of queries and keys by an angle that grows with the position; Su et al. 2021, Eq. 34.

    Pair i, of channels 2i and 2i + 1, turns by pos / 10000^(2i / d_k): the product of a query and a key depends on how
    far apart they are. `position_T` is [T], or [1] for one position of all.

    Raises:
      ValueError: an odd number of channels.
    """
    size = x_BTHK.shape[-1]
    if size % 2:
        raise ValueError(f"rotary positions turn pairs of channels; a head of d_k={size} has an odd number")
    angle = _angles(position_T, size)
    cosine, sine = (each[None, :, None, :] for each in (jnp.cos(angle), jnp.sin(angle)))
    # (x, y) becomes (-y, x) by a product: to take every second channel apart takes a CPU many times as long.
    channel = np.arange(size)
    quarter_turn_KK = np.zeros((size, size), np.float32)
    quarter_turn_KK[channel, channel ^ 1] = np.where(channel % 2 == 0, 1, -1)
    x = x_BTHK.astype(jnp.float32)
    across = jnp.matmul(x, quarter_turn_KK, precision=jax.lax.Precision.HIGHEST)
    return (x * cosine + across * sine).astype(x_BTHK.dtype)


def unrotated(x_BTHK: jax.Array, position_T: jax.Array) -> jax.Array:
    """`x_BTHK` as it is."""
    del position_T
    return x_BTHK
