"""Scaled dot-product attention as one TPU kernel that writes no scores to memory: Pallas's splash attention."""

from typing import Any

import jax
import jax.numpy as jnp

from transformer.ops.masks import Mask, SegmentMask, kernel_supports

LANES = 128  # T and S must be multiples of this
_MAX_BLOCK = 512  # queries or keys per block; a block is the largest multiple of LANES up to this that divides T or S


def supports(query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask, causal: bool) -> bool:
    """Returns whether the kernel supports these arrays and this mask; looks only at shapes.

    It supports padding masks and causal masks (`masks.kernel_supports`), both also with segments of packed rows.
    """
    lengths = query_BTHK.shape[1], key_BSHK.shape[1]
    return not any(length % LANES for length in lengths) and kernel_supports(_row_mask(mask), *lengths, causal)


def _row_mask(mask: Mask) -> jax.Array:
    return mask.mask if isinstance(mask, SegmentMask) else mask


def attention(
    query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask, scale: float, interpret: bool = False
) -> jax.Array:
    """Computes softmax(Q Kᵀ · scale) V (Eq. 1) where `supports` holds.

    For a sentence without a visible token the reference returns the mean of the values, and this function attends to
    all positions. Both results are finite and have no weight in the loss.

    Args:
      query_BTHK: queries; T must be a multiple of 128.
      key_BSHK: keys; S must be a multiple of 128.
      value_BSHU: values.
      mask: [B, 1, 1, S], True for visible tokens, or [1, 1, T, T], which stands for `masks.causal`. In packed rows,
        padding must be a separate segment.
      scale: 1 / √d_k in the paper.
      interpret: whether to interpret the kernel, which works on any device; for tests.

    Returns:
      context_BTHU.
    """
    from jax.experimental.pallas.ops.tpu import splash_attention as pallas  # slow to import, and rarely needed

    target, heads = query_BTHK.shape[1:3]
    source = key_BSHK.shape[1]
    hides_padding = _row_mask(mask).shape[2] == 1
    head_mask = pallas.FullMask((target, source)) if hides_padding else pallas.CausalMask((target, source))
    kernel: Any = pallas.make_splash_mha(
        pallas.MultiHeadMask([head_mask] * heads),
        block_sizes=pallas.BlockSizes(**_block_sizes(target, source)),
        head_shards=1,
        q_seq_shards=1,
        interpret=interpret,
    )
    arrays = [x.swapaxes(1, 2) for x in (query_BTHK * scale, key_BSHK, value_BSHU)]
    if isinstance(mask, SegmentMask):
        segments = pallas.SegmentIds(mask.segment_BT, mask.segment_BS)
    elif hides_padding:
        visible_BS = jnp.broadcast_to(mask[:, 0, 0], (query_BTHK.shape[0], source))
        visible_BS |= ~jnp.any(visible_BS, axis=-1, keepdims=True)
        segments = pallas.SegmentIds(jnp.ones((query_BTHK.shape[0], target), jnp.int32), visible_BS.astype(jnp.int32))
    else:
        return jax.vmap(kernel)(*arrays).swapaxes(1, 2)
    return jax.vmap(kernel)(*arrays, segments).swapaxes(1, 2)


def _block_sizes(target: int, source: int) -> dict[str, Any]:
    """Returns the kernel's block sizes for queries and keys, in the forward pass and both backward passes."""
    sizes = [
        max(block for block in range(LANES, _MAX_BLOCK + 1, LANES) if length % block == 0)
        for length in (target, source)
    ]
    return {
        f"block_{side}{kind}": size
        for side, size in zip(("q", "kv"), sizes, strict=True)
        for kind in ("", "_dkv", "_dq")
    }
