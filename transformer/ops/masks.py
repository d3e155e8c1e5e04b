"""Which query may look at which key: bool arrays, True where it may, shaped to broadcast against scores_BHTS."""

from typing import NamedTuple

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


def no_future(target_BT: jax.Array) -> jax.Array:
    """`causal`, for these tokens: what a decoder is trained with, and what a search step by step has anyway."""
    return causal(target_BT.shape[1])


def no_padding(target_BT: jax.Array) -> jax.Array:
    """`padding`, for these tokens: every position sees every real one, the one that it must predict included."""
    return padding(is_token(target_BT))


class Within(NamedTuple):
    """A mask of rows of several sentences, of which a position sees its own alone.

    In parts, for a kernel takes segments as they are, and a mask for each of them is large.

    S: 1 1 2
    T: 1      1 1 0
       2      0 0 1
       2      0 0 1
    """

    mask: jax.Array  # as if a row were one sentence
    segment_BT: jax.Array  # int32, which sentence of its row each query is of
    segment_BS: jax.Array  # and each key

    def written_out(self) -> jax.Array:
        """bool [B, 1, T, S], or [B, H, T, S]."""
        return self.mask & (self.segment_BT[:, None, :, None] == self.segment_BS[:, None, None, :])


Mask = jax.Array | Within


def within(mask: jax.Array, segment_BT: jax.Array | None, segment_BS: jax.Array | None) -> Mask:
    """`mask`, and nothing of other sentences of a row, if rows hold several."""
    return mask if segment_BT is None or segment_BS is None else Within(mask, segment_BT, segment_BS)


def written_out(mask: Mask) -> jax.Array:
    """bool, broadcastable to [B, H, T, S]."""
    return mask.written_out() if isinstance(mask, Within) else mask


def is_plain(mask: jax.Array, target: int, source: int, causal: bool) -> bool:
    """Whether, by its shape, a mask is of one of the two kinds that attention kernels know.

    It hides padding, [B, 1, 1, S], or, where `causal` says that a square for all sentences is `causal`'s, the future,
    [1, 1, T, T]. The masks of a search step, [B, 1, N, T · N], are neither.
    """
    hides_future = causal and mask.shape[:2] == (1, 1) and mask.shape[2] == mask.shape[3] == target == source
    return mask.shape[1:3] == (1, 1) or hides_future


def ancestors(slot_BNT: jax.Array, position: jax.Array) -> jax.Array:
    """bool [B, 1, N, T · N]: the slots where the tokens of each hypothesis up to `position` were written.

    Args:
      slot_BNT: which of the N slots of each position holds the hypothesis's token.
      position: int32 [].

    Hypotheses 0 and 1 at position 2, both descended from what was 1 at position 1 and 0 at position 0:

    T:  0   1   2   3
    N:  0 1 0 1 0 1 0 1
    0   1 0 0 1 1 0 0 0
    1   1 0 0 1 0 1 0 0
    """
    rows, beams, length = slot_BNT.shape
    holds_BNTN = slot_BNT[..., None] == jnp.arange(beams)[None, None, None]
    seen_T = jnp.arange(length) <= position
    return (holds_BNTN & seen_T[None, None, :, None]).reshape(rows, 1, beams, length * beams)
