"""Scaled dot-product attention as one kernel of NVIDIA's cuDNN. Neither pass writes the scores to memory."""

import functools

import jax
import jax.numpy as jnp

from transformer.ops.masks import Mask, SegmentMask, kernel_supports, materialise

_DTYPES = (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))
HEAD_SIZE_MULTIPLE = 8
MAX_HEAD_SIZE = 128  # on every GPU that has the kernel
_MIN_CAPABILITY = 8.0  # Ampere; older GPUs lack the kernel


def supports(query_BTHK: jax.Array, key_BSHK: jax.Array, value_BSHU: jax.Array, mask: Mask, causal: bool) -> bool:
    """Returns whether the kernel supports these arrays and this mask; looks only at dtypes and shapes.

    It supports masks of trailing padding and causal masks (`masks.kernel_supports`), but no segments of packed rows.
    Any length works; an odd one costs a copy. Keys and values must have equal widths and 16-bit dtypes.
    """
    if isinstance(mask, SegmentMask):
        return False
    size = query_BTHK.shape[-1]
    matching = key_BSHK.shape == value_BSHU.shape and query_BTHK.dtype == key_BSHK.dtype == value_BSHU.dtype
    fits = size % HEAD_SIZE_MULTIPLE == 0 and size <= MAX_HEAD_SIZE and query_BTHK.dtype in _DTYPES
    return matching and fits and kernel_supports(mask, query_BTHK.shape[1], key_BSHK.shape[1], causal)


@functools.cache
def is_available() -> bool:
    """Returns whether all local devices are GPUs with the kernel. Initialises the JAX backend."""
    try:
        devices = jax.local_devices(backend="cuda")
    except RuntimeError:  # this JAX has no CUDA backend
        return False
    return all(float(device.compute_capability) >= _MIN_CAPABILITY for device in devices)


def attention(
    query_BTHK: jax.Array,
    key_BSHK: jax.Array,
    value_BSHU: jax.Array,
    mask: Mask,
    scale: float,
    implementation: str = "cudnn",
) -> jax.Array:
    """Computes softmax(Q Kᵀ · scale) V (Eq. 1) where `supports` holds.

    For a sentence without a visible token the reference returns the mean of the values, and this function attends to
    all positions. Both results are finite and have no weight in the loss.

    Args:
      query_BTHK, key_BSHK, value_BSHU: bfloat16 or float16.
      mask: [B, 1, 1, S], True for visible tokens, which precede all others; or [1, 1, T, T], which stands for
        `masks.causal`.
      scale: 1 / √d_k in the paper.
      implementation: "xla" computes the same on any device, for tests.

    Returns:
      context_BTHU.
    """
    mask = materialise(mask)  # a no-op here: `supports` rejects SegmentMask
    target, source = query_BTHK.shape[1], key_BSHK.shape[1]
    attend = functools.partial(
        jax.nn.dot_product_attention,
        *map(_pad_to_even, (query_BTHK, key_BSHK, value_BSHU)),
        scale=scale,
        implementation=implementation,
    )
    if mask.shape[2] != 1:
        return attend(is_causal=True)[:, :target]
    length_B = jnp.sum(jnp.broadcast_to(mask[:, 0, 0], key_BSHK.shape[:2]), axis=-1, dtype=jnp.int32)
    # The number of queries, computed from length_B so that it has a batch axis: under jax.vmap a constant has none.
    queries_B = jnp.where(length_B < 0, 0, target + target % 2)
    lengths = {"query_seq_lengths": queries_B, "key_value_seq_lengths": jnp.where(length_B == 0, source, length_B)}
    return attend(**lengths)[:, :target]


def _pad_to_even(x_BTHK: jax.Array) -> jax.Array:
    """Pads T to an even number, because JAX has no gradient for odd ones. No other position attends to the padding."""
    return jnp.pad(x_BTHK, ((0, 0), (0, x_BTHK.shape[1] % 2), (0, 0), (0, 0)))
