"""Scaled dot-product attention as one TPU kernel that writes no scores to memory: Pallas's splash attention."""

from typing import Any

import jax
import jax.numpy as jnp

from transformer.ops.masks import Mask, Within, is_plain

LANES = 128  # lengths of queries and keys must be multiples of this
_BLOCK = 512  # queries or keys at a time; the largest multiple of LANES up to here that divides a length


def allows(query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask, causal: bool) -> bool:
    """Whether the kernel can do what `mask` says, from shapes alone.

    It can hide padding, or the future (`masks.is_plain`), and besides either, other sentences of a row.
    """
    lengths = query_BTHK.shape[1], key_BSHK.shape[1]
    return not any(length % LANES for length in lengths) and is_plain(_of_one_sentence(mask), *lengths, causal)


def _of_one_sentence(mask: Mask) -> jax.Array:
    return mask.mask if isinstance(mask, Within) else mask


def splash(
    query_BTHK: jax.Array,
    key_BSHK: jax.Array,
    value_BSHU: jax.Array,
    mask: Mask,
    scale: float,
    interpret: bool = False,
) -> jax.Array:
    """softmax(Q Kᵀ · scale) V, Eq. 1, where `allows` holds; returns context_BTHU.

    Where the reference gives the mean of the values, because a sentence has no token that may be seen, this gives what
    comes of seeing all of them; both are finite, and neither has any weight.

    Args:
      query_BTHK: queries; T a multiple of 128.
      key_BSHK: keys; S a multiple of 128.
      value_BSHU: what the keys stand for.
      mask: [B, 1, 1, S] of tokens to see, or [1, 1, T, T], which stands for `masks.causal`. Of rows of several
        sentences, padding must be in a segment of its own.
      scale: 1 / √d_k in the paper.
      interpret: run it step by step on any device: for tests.
    """
    from jax.experimental.pallas.ops.tpu import splash_attention as pallas  # takes a while, and few use it

    target, heads = query_BTHK.shape[1:3]
    source = key_BSHK.shape[1]
    hides_padding = _of_one_sentence(mask).shape[2] == 1
    each = pallas.FullMask((target, source)) if hides_padding else pallas.CausalMask((target, source))
    kernel: Any = pallas.make_splash_mha(
        pallas.MultiHeadMask([each] * heads),
        block_sizes=pallas.BlockSizes(**_blocks(target, source)),
        head_shards=1,
        q_seq_shards=1,
        interpret=interpret,
    )
    arrays = [x.swapaxes(1, 2) for x in (query_BTHK * scale, key_BSHK, value_BSHU)]
    if isinstance(mask, Within):
        segments = pallas.SegmentIds(mask.segment_BT, mask.segment_BS)
    elif hides_padding:
        seen_BS = jnp.broadcast_to(mask[:, 0, 0], (query_BTHK.shape[0], source))
        seen_BS |= ~jnp.any(seen_BS, axis=-1, keepdims=True)
        segments = pallas.SegmentIds(jnp.ones((query_BTHK.shape[0], target), jnp.int32), seen_BS.astype(jnp.int32))
    else:
        return jax.vmap(kernel)(*arrays).swapaxes(1, 2)
    return jax.vmap(kernel)(*arrays, segments).swapaxes(1, 2)


def _blocks(target: int, source: int) -> dict[str, Any]:
    """How many queries and keys the kernel takes at a time, forwards and for either gradient."""
    sizes = [
        max(block for block in range(LANES, _BLOCK + 1, LANES) if length % block == 0) for length in (target, source)
    ]
    return {
        f"block_{side}{kind}": size
        for side, size in zip(("q", "kv"), sizes, strict=True)
        for kind in ("", "_dkv", "_dq")
    }
