"""Keys and values of attention, and the cache of them that a search step reads and writes."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp

FIRST_CHUNK = 12  # positions in the first chunk of a chunked cache


class KeyValue(NamedTuple):
    """Projected keys and values."""

    key_BSHK: jax.Array
    value_BSHU: jax.Array

    def head_major(self) -> "HeadMajorKV":
        """Returns the same with heads before positions, the order of the matmuls."""
        return HeadMajorKV(*(array.swapaxes(1, 2) for array in self))


class HeadMajorKV(NamedTuple):
    """Keys and values with heads before positions: a search transposes them once and not at each step."""

    key_BHSK: jax.Array
    value_BHSU: jax.Array

    def seq_major(self) -> KeyValue:
        """Returns the same in the order that `MultiHeadAttention` takes, whose own transpose cancels this one."""
        return KeyValue(*(array.swapaxes(1, 2) for array in self))


# Keys and values of the tokens that a search has read, as chunks of consecutive positions: T · N slots, the N slots of
# a position next to each other. A slot is written once and never moves: a mask (`masks.beam_history`) says which
# hypothesis it belongs to. Reading the slots of all hypotheses of a sentence takes less time than copying histories at
# each step.
KVCache = tuple[HeadMajorKV, ...]


def init_cache(
    batch: int, heads: int, beams: int, length: int, widths: tuple[int, int], dtype: jnp.dtype, chunked: bool = False
) -> KVCache:
    """Makes an empty cache.

    Args:
      batch: number of sentences.
      heads: number of heads.
      beams: hypotheses of a sentence, N.
      length: number of positions, T.
      widths: of a head's key and value.
      dtype: dtype of keys and values.
      chunked: splits the cache into chunks, of which a step reads only those that hold tokens, and makes it float32:
        to write a few 16-bit numbers, a CPU converts the complete array to float32 and back. The first chunk has
        `FIRST_CHUNK` positions, the second as many, and each further one twice as many as the one before.
    """
    dtype = jnp.dtype(jnp.float32) if chunked else dtype
    ends = [FIRST_CHUNK] if chunked else [length]
    while ends[-1] < length:
        ends.append(2 * ends[-1])
    ends[-1] = length
    return tuple(
        HeadMajorKV(*(jnp.zeros((batch, heads, (end - start) * beams, width), dtype) for width in widths))
        for start, end in itertools.pairwise([0, *ends])
    )


def chunk_ends(cache: KVCache) -> list[int]:
    """Returns the number of slots up to the end of each chunk."""
    return list(itertools.accumulate(chunk.key_BHSK.shape[2] for chunk in cache))


def write(cache: KVCache, new: HeadMajorKV, slot_B: jax.Array) -> KVCache:
    """Returns the cache with the keys and values of one position of each sentence written from `slot_B` on, int32."""
    write_chunks = jax.vmap(_write_chunk)
    return tuple(
        HeadMajorKV(*(write_chunks(old, added, slot_B - start) for old, added in zip(chunk, new, strict=True)))
        for chunk, start in zip(cache, [0, *chunk_ends(cache)], strict=False)
    )


def _write_chunk(chunk_HSK: jax.Array, new_HNK: jax.Array, slot: jax.Array) -> jax.Array:
    """Writes to a chunk of one sentence if `slot` lies in it; otherwise returns it unchanged."""
    start = jnp.clip(slot, 0, chunk_HSK.shape[1] - new_HNK.shape[1])
    old_HNK = jax.lax.dynamic_slice_in_dim(chunk_HSK, start, new_HNK.shape[1], axis=1)
    new_HNK = jnp.where(slot == start, new_HNK.astype(chunk_HSK.dtype), old_HNK)
    return jax.lax.dynamic_update_slice_in_dim(chunk_HSK, new_HNK, start, axis=1)
