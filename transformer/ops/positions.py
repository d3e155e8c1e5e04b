"""Positional encodings; Section 3.5."""

import jax
import jax.numpy as jnp
import numpy as np


def sinusoid(position_T: jax.Array, d_model: int) -> jax.Array:
    """Computes sinusoids of wavelengths from 2π to 10000 · 2π, sine and cosine interleaved; float32 [T, D].

    PE(pos, 2i) = sin(pos / 10000^(2i / d_model)), PE(pos, 2i + 1) = cos(pos / 10000^(2i / d_model)).
    """
    angle = _angles(position_T, d_model)
    is_even = jnp.arange(d_model) % 2 == 0
    return jnp.where(is_even[None, :], jnp.sin(angle), jnp.cos(angle))


def _angles(position_T: jax.Array, channels: int) -> jax.Array:
    """Computes pos / 10000^(2i / channels) for channels 2i and 2i + 1; float32 [T, channels]."""
    channel = jnp.arange(channels)
    wavelength = 10000.0 ** ((channel - channel % 2) / channels)
    return position_T.astype(jnp.float32)[:, None] / wavelength[None, :]


def rotary(x_BTHK: jax.Array, position_T: jax.Array) -> jax.Array:
    """Rotates pairs of channels of queries or keys by angles proportional to the position; Su et al. 2021, Eq. 34.

    Pair i, channels 2i and 2i + 1, rotates by pos / 10000^(2i / d_k). The dot product of a query and a key then depends
    on their distance.

    Args:
      x_BTHK: queries or keys.
      position_T: [T], or [1] for one position that all share.

    Raises:
      ValueError: the number of channels is odd.
    """
    size = x_BTHK.shape[-1]
    if size % 2:
        raise ValueError(f"rotary positions rotate pairs of channels; a head of d_k={size} has an odd number")
    angle = _angles(position_T, size)
    cosine, sine = (x[None, :, None, :] for x in (jnp.cos(angle), jnp.sin(angle)))
    # A matmul maps (x, y) to (-y, x): strided access to every second channel is many times slower on a CPU.
    channel = np.arange(size)
    quarter_turn_KK = np.zeros((size, size), np.float32)
    quarter_turn_KK[channel, channel ^ 1] = np.where(channel % 2 == 0, 1, -1)
    x = x_BTHK.astype(jnp.float32)
    rotated = jnp.matmul(x, quarter_turn_KK, precision=jax.lax.Precision.HIGHEST)
    return (x * cosine + rotated * sine).astype(x_BTHK.dtype)


def no_rotation(x_BTHK: jax.Array, position_T: jax.Array) -> jax.Array:
    """Returns `x_BTHK` unchanged: the counterpart of `rotary` for other positional encodings."""
    del position_T
    return x_BTHK
