"""The layout of sentences in the rows of a batch: one sentence per row, or several in a packed row."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from transformer.spec import BOS, EOS, PAD


class Layout(NamedTuple):
    """Position and segment of every token of a batch."""

    position_T: jax.Array  # int32, position in the sentence; [T] if equal in all rows, else [B, T]
    segment_BT: jax.Array | None = None  # int32, number of the sentence in its row, from 1; None: one per row


def one_per_row(starts_BT: jax.Array) -> Layout:
    """Returns the layout of rows with one sentence each."""
    return Layout(jnp.arange(starts_BT.shape[1]))


def packed(starts_BT: jax.Array) -> Layout:
    """Returns the layout of packed rows, whose sentences start where `starts_BT` is True.

    starts   1 0 0 1 0 1 0
    segment  1 1 1 2 2 3 3
    position 0 1 2 0 1 0 1
    """
    index_BT = jnp.broadcast_to(jnp.arange(starts_BT.shape[1]), starts_BT.shape)
    first_BT = jax.lax.cummax(jnp.where(starts_BT, index_BT, 0), axis=1)
    return Layout(index_BT - first_BT, jnp.cumsum(starts_BT, axis=1, dtype=jnp.int32))


def source_starts(source_BS: jax.Array) -> jax.Array:
    """Returns bool [B, S], True at the start of a row and after EOS. Padding after the last EOS is a segment."""
    return ~_previous(source_BS != EOS)


def target_starts(target_BT: jax.Array) -> jax.Array:
    """Returns bool [B, T] for a decoder's input, True at BOS and at the start of padding, which is a segment."""
    return (target_BT == BOS) | ((target_BT == PAD) & ~_previous(target_BT == PAD))


def _previous(holds_BT: jax.Array) -> jax.Array:
    """Returns `holds_BT` of the previous position; False at the start of a row."""
    return jnp.concatenate([jnp.zeros_like(holds_BT[:, :1]), holds_BT[:, :-1]], axis=1)
