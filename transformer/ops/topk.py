"""The largest of many numbers, as of a vocabulary's logits, without a look at each of them by itself on a CPU.

XLA's loop on a CPU for `argmax` and `top_k` goes from number to number; its `max` takes sixteen at a time. So the
largest of each block are found first: what is looked for lies in the blocks with the largest of those.
"""

import jax
import jax.numpy as jnp

_FEWEST = 1024  # numbers; fewer are soon looked through
_BLOCK = 64  # numbers, about; what most vocabularies can be divided by
_SIZES = range(16, 257)


def top_k(x: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """`jax.lax.top_k` along the last axis, to the bit and to the order of equals: those of lower index come first.

    Args:
      x: [..., numbers].
      count: how many of them.

    Returns:
      The largest, descending, and their indices, int32; both [..., count].
    """
    size = block_size(x.shape[-1], count)
    if not size:
        return _top_k(x, count)

    def by_blocks(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        blocks = x.reshape(-1, x.shape[-1] // size, size)
        _, chosen = jax.lax.top_k(jnp.max(blocks, axis=-1), count)
        chosen = jnp.sort(chosen, axis=-1)  # so that of equal numbers the first stays the first
        first = jnp.arange(len(blocks))[:, None] * blocks.shape[1]
        candidates = blocks.reshape(-1, size)[first + chosen].reshape(len(blocks), -1)
        found, place = jax.lax.top_k(candidates, count)
        index = jnp.take_along_axis(chosen, place // size, axis=1) * size + place % size
        shape = (*x.shape[:-1], count)
        return found.reshape(shape), index.reshape(shape)

    return jax.lax.platform_dependent(x, cpu=by_blocks, default=lambda x: _top_k(x, count))


def _top_k(x: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    largest, index = jax.lax.top_k(x, count)  # which gives a list
    return largest, index


def argmax(x: jax.Array) -> jax.Array:
    """`jnp.argmax` along the last axis, int32: of equal numbers the first."""
    return jax.lax.platform_dependent(
        x, cpu=lambda x: top_k(x, 1)[1][..., 0], default=lambda x: jnp.argmax(x, axis=-1).astype(jnp.int32)
    )


def block_size(length: int, count: int) -> int:
    """How many numbers to a block, so that blocks are of one size; 0 where they would not pay."""
    sizes = [size for size in _SIZES if length % size == 0 and 4 * count * size <= length]
    return min(sizes, key=lambda size: abs(size - _BLOCK)) if sizes and length >= _FEWEST else 0
