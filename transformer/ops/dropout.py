"""Dropout with masks hashed from (key, position): almost free on every backend, equal on any number of devices.

`jax.random.bernoulli` runs a cryptographic generator for each element. A mask only needs bits that look independent,
so an integer hash mixes an element's index in the global array with 64 key bits.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable

import jax
import jax.numpy as jnp

_64_BITS = 2**64 - 1

# Kinds of dropout; Section 5.4 names the first two. "word" drops complete token embeddings, the others single units.
KINDS = ("embedding", "sublayer", "attention", "feed_forward", "word")
# Rate of token cutoff (Shen et al. 2020; Gao et al. 2022), another entry of `Dropout.rates`: like "word", but the
# embeddings that stay are not scaled. Only the second pass of a consistency loss has it.
CUTOFF = "cutoff"


def mix(bits: jax.Array) -> jax.Array:
    """Applies a bijection of uint32 in which each input bit flips each output bit about half of the time.

    Source: multipliers and shifts of "lowbias32" (C. Wellons, *Prospecting for Hash Functions*, 2018).
    """
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
    return bits ^ (bits >> 16)


def _mix_64(bits: int) -> int:
    """Computes a 64-bit counterpart of `mix` at trace time.

    Source: multipliers and shifts of "splitmix64" (Steele et al. 2014, *Fast Splittable Pseudorandom Number
      Generators*).
    """
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 & _64_BITS
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & _64_BITS
    return bits ^ (bits >> 31)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("seed", "rates", "first_row", "layer"), meta_fields=("salts",)
)
@dataclasses.dataclass(frozen=True)
class Dropout:
    """Seed and rates of dropout: an argument of every forward pass, `None` in evaluation.

    Attributes:
      seed: uint32 [2], different at each step.
      rates: probability of dropping a unit, by kind. A missing kind drops nothing and costs nothing.
      first_row: uint32 [], index in the global batch of this array's first row; 0 if the array is the global batch.
      layer: int32 [], index in `salts` of the layer that a loop over layers computes; None outside of such a loop.
      salts: 64 bits that identify the call site; in a loop over layers one number for each layer. Python integers,
        hashed at trace time: the compiled loop over units is equally short however deep in a model the call site is.
    """

    seed: jax.Array
    rates: dict[str, jax.Array]
    first_row: jax.Array
    layer: jax.Array | None = None
    salts: tuple[int, ...] = (0,)

    @classmethod
    def from_key(cls, key: jax.Array, rates: dict[str, jax.Array], first_row: jax.Array | int = 0) -> "Dropout":
        """Draws the seed from a typed random key."""
        return cls(jax.random.bits(key, (2,), jnp.uint32), rates, jnp.asarray(first_row, jnp.uint32))

    def fold_in(self, site: int) -> "Dropout":
        """Returns the same rates with independent masks, for call site number `site` of a model or module."""
        # An odd number near 2⁶⁴ / golden ratio sends consecutive site numbers far apart.
        salts = tuple(_mix_64(salt + (site + 1) * 0x9E3779B97F4A7C15 & _64_BITS) for salt in self.salts)
        return dataclasses.replace(self, salts=salts)

    def fold_in_layer(self, sites: Iterable[int], layer: jax.Array) -> "Dropout":
        """Returns `fold_in(site)` of the site with index `layer`, int32 []: of a layer within a loop over layers."""
        salts = tuple(salt for site in sites for salt in self.fold_in(site).salts)
        return dataclasses.replace(self, layer=layer, salts=salts)

    def salted_seed(self) -> jax.Array:
        """Returns a uint32 [2] seed that depends on the step and the call site."""
        salts = jnp.array([(salt & 0xFFFFFFFF, salt >> 32) for salt in self.salts], jnp.uint32)
        salt = salts[0 if self.layer is None else self.layer]
        return mix(mix(self.seed + salt) ^ self.seed[::-1])


def fold_in(dropout: Dropout | None, site: int) -> Dropout | None:
    """Returns `dropout.fold_in(site)`, or None in evaluation."""
    return None if dropout is None else dropout.fold_in(site)


def keep_mask(seed: jax.Array, rate: jax.Array, shape: tuple[int, ...], first_row: jax.Array) -> jax.Array:
    """Returns bool `shape`, True with probability 1 - rate."""
    # Row-major index of an element in the global batch, modulo 2³².
    first = first_row * jnp.uint32(math.prod(shape[1:]) & 0xFFFFFFFF)
    index = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape) + first
    bits = mix(index * (seed[1] | 1) + seed[0])
    # float32 represents 24 bits exactly. Comparing floats avoids overflow in uint32 for a rate near 1.
    return (bits >> 8).astype(jnp.float32) * (2.0**-24) >= rate


def drop(x: jax.Array, dropout: Dropout | None, kind: str) -> jax.Array:
    """Zeroes units of `x` with probability `dropout.rates[kind]` and scales the others to keep the mean; Section 5.4.

    The first axis of `x` is the batch. `kind` is one of `KINDS`; different kinds have independent masks at the same
    call site. The kind "word" drops all units along the last axis jointly, and first applies `CUTOFF` if it has a rate.
    """
    if dropout is None:
        return x
    if kind == "word" and CUTOFF in dropout.rates:
        seed = dropout.fold_in(len(KINDS)).salted_seed()
        kept = keep_mask(seed, dropout.rates[CUTOFF], (*x.shape[:-1], 1), dropout.first_row)
        x = jnp.where(kept, x, jnp.zeros((), x.dtype))
    if kind not in dropout.rates:
        return x
    rate = dropout.rates[kind]
    shape = (*x.shape[:-1], 1) if kind == "word" else x.shape
    keep = keep_mask(dropout.fold_in(KINDS.index(kind)).salted_seed(), rate, shape, dropout.first_row)
    scaled = x.astype(jnp.float32) * (1 / (1 - rate))  # bfloat16 would round the factor, and so change the mean
    return jnp.where(keep, scaled.astype(x.dtype), jnp.zeros((), x.dtype))


def drop_embeddings(x_BTD: jax.Array, dropout: Dropout | None) -> jax.Array:
    """Drops complete token embeddings, then single units; for embeddings without added positions."""
    return drop(drop(x_BTD, dropout, "word"), dropout, "embedding")
