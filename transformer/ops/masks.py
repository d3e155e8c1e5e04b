"""Which query may look at which key: bool arrays, True where it may, shaped to broadcast against scores_BHTS."""

import jax
import jax.numpy as jnp

from transformer.spec import PAD


def is_token(ids_BS: jax.Array) -> jax.Array:
    """bool [B, S], False at padding."""
    return ids_BS != PAD


def padding(mask_BS: jax.Array) -> jax.Array:
    """bool [B, 1, 1, S]: every query sees every real token.

    S: a b _        a b _
    T: x            1 1 0
       y            1 1 0
    """
    return mask_BS[:, None, None, :]


def causal(length: int) -> jax.Array:
    """bool [1, 1, T, T]: position t sees positions 0..t; Section 3.2.3.

       a b c
    a  1 0 0
    b  1 1 0
    c  1 1 1
    """
    row, column = jnp.arange(length)[:, None], jnp.arange(length)[None, :]
    return (column <= row)[None, None]


def written(position: jax.Array, length: int) -> jax.Array:
    """bool [1, 1, 1, T]: the part of a cache of `length` positions that is filled after writing `position`."""
    return (jnp.arange(length) <= position)[None, None, None, :]
