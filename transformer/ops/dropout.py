"""Dropout whose mask is a hash of (key, position): next to free on every backend, the same on any number of devices.

`jax.random.bernoulli` pays for a cryptographic generator at each element. A mask only needs bits that look independent,
so here an element's number in the whole array is mixed with 64 key bits by an integer hash.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

_64_BITS = 2**64 - 1

# Kinds of place; Section 5.4 names the first two. "word" drops an embedded token whole, the others single units.
KINDS = ("embedding", "sublayer", "attention", "feed_forward", "word")


def mix(bits: jax.Array) -> jax.Array:
    """A bijection of uint32 in which every input bit flips each output bit about half of the time.

    Source: the multipliers and shifts are those of "lowbias32" (C. Wellons, *Prospecting for Hash Functions*, 2018).
    """
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
    return bits ^ (bits >> 16)


def _mix_64(bits: int) -> int:
    """As `mix`, of 64 bits and before a program is compiled.

    Source: the multipliers and shifts are those of "splitmix64" (Steele et al. 2014, *Fast Splittable Pseudorandom
      Number Generators*).
    """
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 & _64_BITS
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & _64_BITS
    return bits ^ (bits >> 31)


@functools.partial(jax.tree_util.register_dataclass, data_fields=("seed", "rates", "first_row"), meta_fields=("place",))
@dataclasses.dataclass(frozen=True)
class Dropout:
    """Everything a forward pass needs to drop units: passed down as an argument, `None` in evaluation.

    Attributes:
      seed: uint32 [2], different at each step.
      rates: the probability of dropping a unit, by kind of place. A missing kind drops nothing and costs nothing.
      first_row: uint32 [], the number in the whole batch of this array's first row; 0 where the whole batch is seen.
      place: 64 bits that are the place's own. Known when a program is compiled: what a loop over units does for each
        of them is short, however deep in a model the place is.
    """

    seed: jax.Array
    rates: dict[str, jax.Array]
    first_row: jax.Array
    place: int = 0

    @classmethod
    def from_key(cls, key: jax.Array, rates: dict[str, jax.Array], first_row: jax.Array | int = 0) -> "Dropout":
        """Takes the seed from a typed random key."""
        return cls(jax.random.bits(key, (2,), jnp.uint32), rates, jnp.asarray(first_row, jnp.uint32))

    def at(self, site: int) -> "Dropout":
        """The same rates with masks of their own, for the site-th place of a model or part."""
        # An odd number near 2⁶⁴ / golden ratio sends consecutive site numbers far apart.
        return dataclasses.replace(self, place=_mix_64(self.place + (site + 1) * 0x9E3779B97F4A7C15 & _64_BITS))

    def seed_here(self) -> jax.Array:
        """uint32 [2], of the step and the place."""
        place = jnp.array([self.place & 0xFFFFFFFF, self.place >> 32], jnp.uint32)
        return mix(mix(self.seed + place) ^ self.seed[::-1])


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
    keep = keep_mask(dropout.at(KINDS.index(kind)).seed_here(), rate, shape, dropout.first_row)
    return jnp.where(keep, x * (1 / (1 - rate)).astype(x.dtype), jnp.zeros((), x.dtype))


def drop_embedded(x_BTD: jax.Array, dropout: Dropout | None) -> jax.Array:
    """`drop`s whole words, then single units: what is done to embeddings that no position is added to."""
    return drop(drop(x_BTD, dropout, "word"), dropout, "embedding")
