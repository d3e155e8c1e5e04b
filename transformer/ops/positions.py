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


def alibi_slopes(heads: int) -> np.ndarray:
    """Returns the slope of each head, [H], the powers of 2^(-8 / heads); Press et al. 2022, Section 3.

    If the number of heads is no power of two, they are the slopes of the next smaller power of two, and then every
    second slope of twice that power, as in the authors' code.
    """
    lower = 2 ** (heads.bit_length() - 1)
    slopes = 2.0 ** (-8.0 / lower * np.arange(1, lower + 1))
    between = 2.0 ** (-4.0 / lower * np.arange(1, 2 * lower + 1, 2))
    return np.concatenate([slopes, between])[:heads]


def alibi(query_position_T: jax.Array, key_position_S: jax.Array, heads: int) -> jax.Array:
    """Computes -slope · |distance| for each head, query and key, float32 [H, T, S]; Press et al. 2022."""
    distance_TS = jnp.abs(query_position_T[:, None] - key_position_S[None, :]).astype(jnp.float32)
    return distance_TS[None] * -alibi_slopes(heads).astype(np.float32)[:, None, None]


def relative_scores(
    query_BTHK: jax.Array, vector_PK: jax.Array, query_position_T: jax.Array, key_position_S: jax.Array
) -> jax.Array:
    """Computes q·a for the vector a of each key's distance, float32 [B, H, T, S]; Shaw et al. 2018, Eq. 5.

    Args:
      query_BTHK: queries.
      vector_PK: vectors of the distances -k to k, key minus query; P = 2k + 1. Longer distances have those of ±k.
      query_position_T, key_position_S: int32 positions.
    """
    longest = vector_PK.shape[0] // 2
    distance_TS = jnp.clip(key_position_S[None, :] - query_position_T[:, None], -longest, longest)
    score_BHTP = jnp.einsum("bthk,pk->bhtp", query_BTHK, vector_PK, preferred_element_type=jnp.float32)
    # A matmul with one-hot rows: the gradient of a gather is a scatter, which is slow.
    chosen_TSP = jax.nn.one_hot(distance_TS + longest, vector_PK.shape[0])
    return jnp.einsum("bhtp,tsp->bhts", score_BHTP, chosen_TSP)


def no_rotation(x_BTHK: jax.Array, position_T: jax.Array) -> jax.Array:
    """Returns `x_BTHK` unchanged: the counterpart of `rotary` for other positional encodings."""
    del position_T
    return x_BTHK
