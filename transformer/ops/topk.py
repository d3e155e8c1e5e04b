"""Top-k and argmax over long axes, such as a vocabulary's logits, that are fast on a CPU.

On a CPU XLA compiles `argmax` and `top_k` to scalar loops, and `max` to vector instructions over sixteen numbers. This
module takes the maximum of each block first, and then searches only the blocks with the largest maxima.
"""

import jax
import jax.numpy as jnp

_MIN_LENGTH = 1024  # below this a direct search is fast enough
_BLOCK = 64  # preferred block size; most vocabularies have a divisor near it
_SIZES = range(16, 257)


def top_k(x: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Computes `jax.lax.top_k` along the last axis. Of equal numbers, the lower index comes first.

    -0.0 equals 0.0, and is returned as 0.0; `jax.lax.top_k` puts it after 0.0. NaN is larger than every number.

    Args:
      x: [..., numbers].
      count: how many to return.

    Returns:
      The largest numbers in descending order, and their int32 indices; both [..., count].
    """
    size = block_size(x.shape[-1], count)
    if not size:
        return _top_k(x, count)

    def by_blocks(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        blocks = x.reshape(-1, x.shape[-1] // size, size)
        _, chosen = _top_k(jnp.max(blocks, axis=-1), count)
        chosen = jnp.sort(chosen, axis=-1)  # keeps the order of equal numbers
        first = jnp.arange(len(blocks))[:, None] * blocks.shape[1]
        candidates = blocks.reshape(-1, size)[first + chosen].reshape(len(blocks), -1)
        largest, offset = _top_k(candidates, count)
        index = jnp.take_along_axis(chosen, offset // size, axis=1) * size + offset % size
        shape = (*x.shape[:-1], count)
        return largest.reshape(shape), index.reshape(shape)

    return jax.lax.platform_dependent(x, cpu=by_blocks, default=lambda x: _top_k(x, count))


def _top_k(x: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    # `x + 0` does not do: XLA simplifies it to x.
    largest, index = jax.lax.top_k(jnp.where(x == 0, 0, x), count)  # returns a list, not a tuple
    return largest, index


def argmax(x: jax.Array) -> jax.Array:
    """Computes `jnp.argmax` along the last axis, int32. Of equal numbers, -0.0 and 0.0 included, the first wins."""
    return jax.lax.platform_dependent(
        x, cpu=lambda x: top_k(x, 1)[1][..., 0], default=lambda x: jnp.argmax(x, axis=-1).astype(jnp.int32)
    )


def block_size(length: int, count: int) -> int:
    """Returns the size of equal blocks that divide `length`, or 0 if blocks would not be faster."""
    sizes = [size for size in _SIZES if length % size == 0 and 4 * count * size <= length]
    return min(sizes, key=lambda size: abs(size - _BLOCK)) if sizes and length >= _MIN_LENGTH else 0
