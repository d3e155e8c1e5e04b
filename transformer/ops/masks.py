"""Attention masks: bool arrays that broadcast against scores_BHTS, True where a query may attend to a key."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from transformer.spec import PAD


def is_token(ids_BS: jax.Array) -> jax.Array:
    """Returns bool [B, S], False at padding."""
    return ids_BS != PAD


def padding(mask_BS: jax.Array) -> jax.Array:
    """Returns bool [B, 1, 1, S]: every query sees every token that is not padding.

    S: a b _        a b _
    T: x            1 1 0
       y            1 1 0
    """
    return mask_BS[:, None, None, :]


def causal(length: int) -> jax.Array:
    """Returns bool [1, 1, T, T]: position t sees positions 0..t; Section 3.2.3.

       a b c
    a  1 0 0
    b  1 1 0
    c  1 1 1
    """
    row, column = jnp.arange(length)[:, None], jnp.arange(length)[None, :]
    return (column <= row)[None, None]


def causal_from_ids(target_BT: jax.Array) -> jax.Array:
    """Returns `causal` for these tokens: the decoder's mask in training. Stepwise decoding is always causal."""
    return causal(target_BT.shape[1])


def padding_from_ids(target_BT: jax.Array) -> jax.Array:
    """Returns `padding` for these tokens: every position sees all tokens, including the one that it predicts."""
    return padding(is_token(target_BT))


class SegmentMask(NamedTuple):
    """A mask for packed rows, in which each position sees only its segment.

    It keeps the mask and the segments separate: kernels take segments directly, and the full mask is large.

    S: 1 1 2
    T: 1      1 1 0
       2      0 0 1
       2      0 0 1
    """

    mask: jax.Array  # the mask as if each row were one sentence
    segment_BT: jax.Array  # int32, segment of each query
    segment_BS: jax.Array  # int32, segment of each key

    def materialise(self) -> jax.Array:
        """Returns bool [B, 1, T, S], or [B, H, T, S]."""
        return self.mask & (self.segment_BT[:, None, :, None] == self.segment_BS[:, None, None, :])


Mask = jax.Array | SegmentMask


def with_segments(mask: jax.Array, segment_BT: jax.Array | None, segment_BS: jax.Array | None) -> Mask:
    """Restricts `mask` to the segments of packed rows; returns it unchanged if the rows are not packed."""
    return mask if segment_BT is None or segment_BS is None else SegmentMask(mask, segment_BT, segment_BS)


def materialise(mask: Mask) -> jax.Array:
    """Returns the mask as one bool array, broadcastable to [B, H, T, S]."""
    return mask.materialise() if isinstance(mask, SegmentMask) else mask


def kernel_supports(mask: jax.Array, target: int, source: int, causal: bool) -> bool:
    """Returns whether a mask is, by its shape, of one of the two kinds that attention kernels support.

    They are padding masks, [B, 1, 1, S], and causal masks, [1, 1, T, T]. `causal` states that a square mask without a
    batch axis is `masks.causal`. The masks of beam search, [B, 1, N, T · N], are of neither kind.
    """
    hides_future = causal and mask.shape[:2] == (1, 1) and mask.shape[2] == mask.shape[3] == target == source
    return mask.shape[1:3] == (1, 1) or hides_future


def at_position(position_B: jax.Array, length: int) -> jax.Array:
    """Returns bool [B, T]: True at the position of each row, out of `length`; in no column if it is not below."""
    return jnp.arange(length)[None] == position_B[:, None]


def beam_history(slot_BNT: jax.Array, position_B: jax.Array) -> jax.Array:
    """Returns bool [B, 1, N, T · N]: the cache slots that hold each hypothesis's tokens up to its position.

    Args:
      slot_BNT: slot, of the N at each position, that holds the hypothesis's token.
      position_B: int32, the present position of each sentence.

    Example: hypotheses 0 and 1 at position 2. Both descend from hypothesis 1 at position 1 and hypothesis 0 at
    position 0:

    T:  0   1   2   3
    N:  0 1 0 1 0 1 0 1
    0   1 0 0 1 1 0 0 0
    1   1 0 0 1 0 1 0 0
    """
    rows, beams, length = slot_BNT.shape
    holds_BNTN = slot_BNT[..., None] == jnp.arange(beams)[None, None, None]
    seen_BT = jnp.arange(length)[None] <= position_B[:, None]
    return (holds_BNTN & seen_BT[:, None, :, None]).reshape(rows, 1, beams, length * beams)
