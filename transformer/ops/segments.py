"""How sentences lie in the rows of a batch: one a row, or several, one after the other."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from transformer.spec import BOS, EOS, PAD


class Places(NamedTuple):
    """Where the tokens of a batch stand."""

    position_T: jax.Array  # int32, in its sentence; [T] where that is the same in all rows, else [B, T]
    segment_BT: jax.Array | None = None  # int32, which of its row's sentences, from 1 on; None: there is one a row


def alone(begins_BT: jax.Array) -> Places:
    """Of rows with a sentence each."""
    return Places(jnp.arange(begins_BT.shape[1]))


def packed(begins_BT: jax.Array) -> Places:
    """Of rows with several sentences, which begin where `begins_BT` is True.

    begins   1 0 0 1 0 1 0
    segment  1 1 1 2 2 3 3
    position 0 1 2 0 1 0 1
    """
    number_BT = jnp.broadcast_to(jnp.arange(begins_BT.shape[1]), begins_BT.shape)
    first_BT = jax.lax.cummax(jnp.where(begins_BT, number_BT, 0), axis=1)
    return Places(number_BT - first_BT, jnp.cumsum(begins_BT, axis=1, dtype=jnp.int32))


def source_begins(source_BS: jax.Array) -> jax.Array:
    """bool [B, S]: what begins a row, or follows EOS. Padding, after the last EOS, is a sentence of its own."""
    return ~_after(source_BS != EOS)


def target_begins(target_BT: jax.Array) -> jax.Array:
    """bool [B, T] of what a decoder reads: BOS, and where padding begins, which is a sentence of its own."""
    return (target_BT == BOS) | ((target_BT == PAD) & ~_after(target_BT == PAD))


def _after(holds_BT: jax.Array) -> jax.Array:
    """Where `holds_BT` was True one position before; nowhere at the begin of a row."""
    return jnp.concatenate([jnp.zeros_like(holds_BT[:, :1]), holds_BT[:, :-1]], axis=1)
