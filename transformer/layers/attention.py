"""Multi-head attention; Section 3.2.2."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.linear import Linear
from transformer.ops.attention import Weigh, attend, context, dot_scores, largest, softmax
from transformer.ops.dropout import Dropout
from transformer.ops.masks import Mask, written_out
from transformer.ops.positions import unrotated


class KeyValue(NamedTuple):
    """What can be attended to."""

    key_BSHK: jax.Array
    value_BSHU: jax.Array

    def by_head(self) -> "ByHead":
        """The same in the order of products."""
        return ByHead(*(each.swapaxes(1, 2) for each in self))


class ByHead(NamedTuple):
    """What can be attended to step after step, as products for each head read it: turned once, not at each step."""

    key_BHSK: jax.Array
    value_BHSU: jax.Array

    def turned(self) -> KeyValue:
        """As `MultiHeadAttention` takes it, whose own turn undoes this one."""
        return KeyValue(*(each.swapaxes(1, 2) for each in self))


# Keys and values of the tokens that a search has read, some positions after others: T · N slots, those of a position
# side by side. What is written stays where it is, whatever becomes of its hypothesis: a mask says whose history it is
# part of. To look at the slots of all hypotheses of a sentence takes less time than to copy whole histories each step.
Cache = tuple[ByHead, ...]

_FIRST_PART = 12  # positions; the second part has as many, each other twice the one before, the last what is left

Rotate = Callable[[jax.Array, jax.Array], jax.Array]  # (x_BTHK, position_T) to x_BTHK
Scores = Callable[[jax.Array, jax.Array], jax.Array]  # (query_BTHK, key_BSHK) to float32 scores_BHTS


@dataclasses.dataclass(frozen=True)
class Dot:
    """Q Kᵀ · scale; Eq. 1. Luong et al. 2015 call it "general", queries and keys being projected.

    Attributes:
      scale: 1 / √d_k in the paper.
    """

    scale: float

    def __call__(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> jax.Array:
        """Float32 scores_BHTS."""
        return dot_scores(query_BTHK, key_BSHK, self.scale)


class LearnedDot(nnx.Module):
    """Q Kᵀ with a learned scale for each head.

    Args:
      heads: how many.
      scale: the first value of all.
    """

    def __init__(self, heads: int, scale: float) -> None:
        self.scale_H = nnx.Param(jnp.full(heads, scale, jnp.float32))

    def __call__(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> jax.Array:
        """Float32 scores_BHTS."""
        return dot_scores(query_BTHK, key_BSHK, 1.0) * self.scale_H[...].reshape(1, -1, 1, 1)


@dataclasses.dataclass(frozen=True)
class Largest:
    """Weights for the keys with the largest scores alone.

    Attributes:
      count: how many of them.
    """

    count: int

    def __call__(self, scores_BHTS: jax.Array, mask: jax.Array) -> jax.Array:
        """Weights_BHTS."""
        return largest(scores_BHTS, mask, self.count)


class Attention(nnx.Module):
    """How well a key answers a query, and what comes of it; arrays as in `ops.attention`.

    Args:
      scores: of each key for each query; `Dot` in the paper.
      weigh: from scores to weights; softmax in the paper.
    """

    def __init__(self, scores: Scores, weigh: Weigh = softmax) -> None:
        self.scores = scores
        self.weigh = weigh

    def __call__(
        self,
        query_BTHK: jax.Array,
        key_BSHK: jax.Array,
        value_BSHU: jax.Array,
        mask: Mask,
        dropout: Dropout | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Returns context_BTHU and weights_BHTS."""
        return attend(self.scores(query_BTHK, key_BSHK), value_BSHU, written_out(mask), dropout, self.weigh)

    def over_parts(self, query_BTHK: jax.Array, parts: Sequence[KeyValue], mask: jax.Array) -> jax.Array:
        """The same context_BTHU for keys and values in parts, float32, which would be copied to put them together.

        `mask` is of all of them, one after the other.
        """
        scores = [self.scores(query_BTHK, part.key_BSHK) for part in parts]
        weights_BHTS = self.weigh(jnp.concatenate(scores, axis=-1), mask)
        ends = list(itertools.accumulate(each.shape[-1] for each in scores))
        contexts = [
            context(weights, part.value_BSHU)
            for weights, part in zip(jnp.split(weights_BHTS, ends[:-1], axis=-1), parts, strict=True)
        ]
        return functools.reduce(jnp.add, contexts)


class MultiHeadAttention(nnx.Module):
    """Concat(head_1, ..., head_h) W^O with head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V).

    The h projections of each kind stand side by side in one linear layer.

    Args:
      d_model: width of what comes in and goes out.
      heads: h.
      d_k: width of a head's query and key.
      d_v: width of a head's value.
      attention: what is computed from queries, keys and values; Eq. 1 in the paper.
      rotate: what positions do to queries and keys: `ops.positions.rotary`, or nothing, as in the paper.
      dtype: of the matrix products.
      rngs: initial parameters.
    """

    def __init__(
        self,
        d_model: int,
        heads: int,
        d_k: int,
        d_v: int,
        *,
        attention: Attention,
        rotate: Rotate = unrotated,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ) -> None:
        self.heads = heads
        self.attention = attention
        self.rotate = rotate
        self.to_query = Linear(d_model, heads * d_k, dtype=dtype, rngs=rngs)
        self.to_key = Linear(d_model, heads * d_k, dtype=dtype, rngs=rngs)
        self.to_value = Linear(d_model, heads * d_v, dtype=dtype, rngs=rngs)
        self.to_output = Linear(heads * d_v, d_model, dtype=dtype, rngs=rngs)

    def _split(self, x: jax.Array) -> jax.Array:
        """[B, T, heads · size] to [B, T, heads, size]."""
        return x.reshape(*x.shape[:-1], self.heads, -1)

    def keys_values(self, memory_BSD: jax.Array, position_S: jax.Array | None = None) -> KeyValue:
        """Projects what will be attended to; once, however many queries follow. Positions are 0, 1, ... by default."""
        key_BSHK, value_BSHU = self._split(self.to_key(memory_BSD)), self._split(self.to_value(memory_BSD))
        return KeyValue(self._rotated(key_BSHK, position_S), value_BSHU)

    def _rotated(self, x_BTHK: jax.Array, position_T: jax.Array | None) -> jax.Array:
        return self.rotate(x_BTHK, jnp.arange(x_BTHK.shape[1]) if position_T is None else position_T)

    def __call__(
        self,
        x_BTD: jax.Array,
        memory: KeyValue,
        mask: Mask,
        dropout: Dropout | None = None,
        position_T: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Attends from each of `x_BTD` to `memory`; returns output_BTD and weights_BHTS.

        `mask` is bool and broadcasts to [B, H, T, S]. Positions are 0, 1, ... by default.
        """
        query_BTHK = self._rotated(self._split(self.to_query(x_BTD)), position_T)
        context_BTHU, weights_BHTS = self.attention(query_BTHK, memory.key_BSHK, memory.value_BSHU, mask, dropout)
        output_BTD = self.to_output(context_BTHU.reshape(*x_BTD.shape[:-1], -1))
        return output_BTD, weights_BHTS

    def empty(self, rows: int, beams: int, positions: int, dtype: jnp.dtype, frugal: bool = False) -> Cache:
        """A cache with nothing written in it.

        Args:
          rows: sentences.
          beams: tokens at each position of a sentence.
          positions: how many.
          dtype: of keys and values.
          frugal: makes it in parts, of which a step reads only those that hold something, and of float32: to write
            few numbers of 16 bits among others, a CPU makes all of them float32 and back.
        """
        dtype = jnp.dtype(jnp.float32) if frugal else dtype
        ends = [_FIRST_PART] if frugal else [positions]
        while ends[-1] < positions:
            ends.append(2 * ends[-1])
        ends[-1] = positions
        widths = [size // self.heads for size in (self.to_key.outputs, self.to_value.outputs)]
        return tuple(
            ByHead(*(jnp.zeros((rows, self.heads, (end - begin) * beams, width), dtype) for width in widths))
            for begin, end in itertools.pairwise([0, *ends])
        )

    def step(self, x_BND: jax.Array, cache: Cache, position: jax.Array, mask: jax.Array) -> tuple[jax.Array, Cache]:
        """Causal self-attention of one new token a hypothesis.

        Args:
          x_BND: the token that stands at `position`, for each of N hypotheses of B sentences.
          cache: keys and values of earlier positions, N slots for each; `empty` made it.
          position: int32 [].
          mask: which slots each hypothesis may look at, those of `position` included: `masks.ancestors`.

        Returns:
          output_BND, and the cache with the tokens' keys and values written: hypothesis n's in slot n of `position`.
        """
        first, position_T = position * x_BND.shape[1], position[None]  # one position for all hypotheses
        ends = list(itertools.accumulate(part.key_BHSK.shape[2] for part in cache))
        new = self.keys_values(x_BND, position_T).by_head()
        cache = tuple(
            ByHead(*(_written(old, each, first - begin) for old, each in zip(part, new, strict=True)))
            for part, begin in zip(cache, [0, *ends], strict=False)
        )
        query_BNHK = self._rotated(self._split(self.to_query(x_BND)), position_T)

        def look_back(parts: int, query_BNHK: jax.Array, cache: Cache, mask: jax.Array) -> jax.Array:
            read = [part.turned() for part in cache[:parts]]
            return self.attention.over_parts(
                query_BNHK.astype(read[0].key_BSHK.dtype), read, mask[..., : ends[parts - 1]]
            )

        # Most outputs end long before the limit that a cache is made for; no step reads a part that is not begun.
        looks = [functools.partial(look_back, parts) for parts in range(1, 1 + len(cache))]
        before = sum((first >= end).astype(jnp.int32) for end in ends[:-1])
        context_BNHU = jax.lax.switch(before, looks, query_BNHK, cache, mask)
        return self.to_output(context_BNHU.reshape(*x_BND.shape[:-1], -1)), cache


def _written(part_BHSK: jax.Array, new_BHNK: jax.Array, slot: jax.Array) -> jax.Array:
    """A part of a cache with the new keys or values in it from `slot` on; as it was where that is in another part."""
    place = jnp.clip(slot, 0, part_BHSK.shape[2] - new_BHNK.shape[2])
    old_BHNK = jax.lax.dynamic_slice_in_dim(part_BHSK, place, new_BHNK.shape[2], axis=2)
    new_BHNK = jnp.where(slot == place, new_BHNK.astype(part_BHSK.dtype), old_BHNK)
    return jax.lax.dynamic_update_slice_in_dim(part_BHSK, new_BHNK, place, axis=2)
