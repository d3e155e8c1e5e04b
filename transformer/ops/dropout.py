"""Dropout whose mask is a hash of (key, position): next to free on every backend, the same on any number of devices.

`jax.random.bernoulli` pays for a cryptographic generator at each element. A mask only needs bits that look independent,
so here an element's number in the whole array is mixed with 64 key bits by an integer hash.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

# An odd number near 2³² / golden ratio, to send consecutive site numbers far apart.
_GOLDEN = 0x9E3779B9

# Kinds of place; Section 5.4 names the first two. "word" drops an embedded token whole, the others single units.
KINDS = ("embedding", "sublayer", "attention", "feed_forward", "word")


def mix(bits: jax.Array) -> jax.Array:
    """A bijection of uint32 in which every input bit flips each output bit about half of the time.

    Source: the multipliers and shifts are those of "lowbias32" (C. Wellons, *Prospecting for Hash Functions*, 2018).
    """
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
    return bits ^ (bits >> 16)


class Dropout(NamedTuple):
    """Everything a forward pass needs to drop units: passed down as an argument, `None` in evaluation.

    Attributes:
      seed: uint32 [2], different at each step and place.
      rates: the probability of dropping a unit, by kind of place. A missing kind drops nothing and costs nothing.
      first_row: uint32 [], the number in the whole batch of this array's first row; 0 where the whole batch is seen.
    """

    seed: jax.Array
    rates: dict[str, jax.Array]
    first_row: jax.Array

    @classmethod
    def from_key(cls, key: jax.Array, rates: dict[str, jax.Array], first_row: jax.Array | int = 0) -> "Dropout":
        """Takes the seed from a typed random key."""
        return cls(jax.random.bits(key, (2,), jnp.uint32), rates, jnp.asarray(first_row, jnp.uint32))

    def at(self, site: int) -> "Dropout":
        """The same rates with masks of their own, for the site-th place of a model or part."""
        offset = jnp.array([site * _GOLDEN & 0xFFFFFFFF, site], jnp.uint32)
        return self._replace(seed=mix(mix(self.seed + offset) ^ self.seed[::-1]))


def at_site(dropout: Dropout | None, site: int) -> Dropout | None:
    """`dropout.at(site)`; in evaluation, when there is no dropout, still none."""
    return None if dropout is None else dropout.at(site)


def keep_mask(seed: jax.Array, rate: jax.Array, shape: tuple[int, ...], first_row: jax.Array) -> jax.Array:
    """bool `shape`, True with probability 1 - rate."""
    # An element's number in the whole batch, row by row, modulo 2³².
    first = first_row * jnp.uint32(math.prod(shape[1:]) & 0xFFFFFFFF)
    number = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape) + first
    bits = mix(number * (seed[1] | 1) + seed[0])
    # 24 bits are what float32 holds exactly; comparing floats avoids the overflow of a rate near 1 in uint32.
    return (bits >> 8).astype(jnp.float32) * (2.0**-24) >= rate


def drop(x: jax.Array, dropout: Dropout | None, kind: str) -> jax.Array:
    """Zeroes units of `x` with probability `dropout.rates[kind]` and scales the others to keep the mean; Section 5.4.

    The first axis of `x` is the batch. `kind` is one of `KINDS`; kinds have masks of their own at the same site. Of the
    kind "word" all units along the last axis are dropped together.
    """
    if dropout is None or kind not in dropout.rates:
        return x
    rate = dropout.rates[kind]
    shape = (*x.shape[:-1], 1) if kind == "word" else x.shape
    keep = keep_mask(dropout.at(KINDS.index(kind)).seed, rate, shape, dropout.first_row)
    return jnp.where(keep, x * (1 / (1 - rate)).astype(x.dtype), jnp.zeros((), x.dtype))


def drop_embedded(x_BTD: jax.Array, dropout: Dropout | None) -> jax.Array:
    """`drop`s whole words, then single units: what is done to embeddings that no position is added to."""
    return drop(drop(x_BTD, dropout, "word"), dropout, "embedding")
