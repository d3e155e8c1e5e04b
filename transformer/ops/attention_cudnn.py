"""Scaled dot-product attention as one kernel of NVIDIA's cuDNN, which writes no scores to memory, forwards or back."""

import functools

import jax
import jax.numpy as jnp

from transformer.ops.masks import Mask, Within, is_plain, written_out

_DTYPES = (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))
UNIT = 8  # a head's width is a multiple of this
WIDEST = 128  # of a head, on all GPUs that have the kernel
_CAPABILITY = 8.0  # Ampere's; older GPUs have no such kernel


def allows(query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask, causal: bool) -> bool:
    """Whether the kernel takes these arrays, and can do what `mask` says, from dtypes and shapes alone.

    It can hide padding at the end of sentences, or the future (`masks.is_plain`), but not other sentences of a row. Any
    length will do, though an odd one is copied. Keys and values must be equally wide, and of 16 bits.
    """
    if isinstance(mask, Within):
        return False
    size = query_BTHK.shape[-1]
    alike = key_BSHK.shape == value_BSHU.shape and query_BTHK.dtype == key_BSHK.dtype == value_BSHU.dtype
    fits = size % UNIT == 0 and size <= WIDEST and query_BTHK.dtype in _DTYPES
    return alike and fits and is_plain(mask, query_BTHK.shape[1], key_BSHK.shape[1], causal)


@functools.cache
def present() -> bool:
    """Whether this process has a GPU with the kernel. Starts JAX."""
    try:
        found = jax.local_devices(backend="cuda")
    except RuntimeError:  # JAX has no such backend here
        return False
    return all(float(device.compute_capability) >= _CAPABILITY for device in found)


def attention(
    query_BTHK: jax.Array,
    key_BSHK: jax.Array,
    value_BSHU: jax.Array,
    mask: Mask,
    scale: float,
    implementation: str = "cudnn",
) -> jax.Array:
    """softmax(Q Kᵀ · scale) V, Eq. 1, where `allows` holds; returns context_BTHU.

    Where the reference gives the mean of the values, because a sentence has no token that may be seen, this gives what
    comes of seeing all of them; both are finite, and neither has any weight.

    Args:
      query_BTHK, key_BSHK, value_BSHU: bfloat16 or float16.
      mask: [B, 1, 1, S] of tokens to see, which stand before all others, or [1, 1, T, T], which stands for
        `masks.causal`.
      scale: 1 / √d_k in the paper.
      implementation: "xla" computes the same on any device: for tests.
    """
    mask = written_out(mask)  # `allows` leaves nothing to write out
    target, source = query_BTHK.shape[1], key_BSHK.shape[1]
    attend = functools.partial(
        jax.nn.dot_product_attention,
        *map(_even, (query_BTHK, key_BSHK, value_BSHU)),
        scale=scale,
        implementation=implementation,
    )
    if mask.shape[2] != 1:
        return attend(is_causal=True)[:, :target]
    length_B = jnp.sum(jnp.broadcast_to(mask[:, 0, 0], key_BSHK.shape[:2]), axis=-1, dtype=jnp.int32)
    # All queries, said of each sentence by itself: of what is the same for all JAX makes no batches (jax.vmap).
    every_B = jnp.where(length_B < 0, 0, target + target % 2)
    lengths = {"query_seq_lengths": every_B, "key_value_seq_lengths": jnp.where(length_B == 0, source, length_B)}
    return attend(**lengths)[:, :target]


def _even(x_BTHK: jax.Array) -> jax.Array:
    """With one more position where their number is odd, for which JAX refuses a gradient; no other looks at it."""
    return jnp.pad(x_BTHK, ((0, 0), (0, x_BTHK.shape[1] % 2), (0, 0), (0, 0)))
