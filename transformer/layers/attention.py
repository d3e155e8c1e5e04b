"""Multi-head attention; Section 3.2.2."""

import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers import kv_cache
from transformer.layers.kv_cache import HeadMajorKV, KeyValue, KVCache
from transformer.layers.linear import Linear
from transformer.layers.positions import DistanceScore
from transformer.layers.scores import DotScore, LearnedScaleDotScore, Score, TopKWeights
from transformer.ops.attention import WeightsFn, attend, context, softmax, uniform
from transformer.ops.dropout import Dropout
from transformer.ops.masks import Mask, materialise
from transformer.ops.positions import no_rotation

Rotate = Callable[[jax.Array, jax.Array], jax.Array]  # (x_BTHK, position_T) to x_BTHK


class Attention(nnx.Module):
    """Scores, weights, and the weighted sum of the values, for all heads; arrays as in `ops.attention`.

    Args:
      scores: score of each key for each query; `DotScore` in the paper.
      weights_fn: turns scores into weights; softmax in the paper.
      distance_score: added to the scores of self-attention; None in the paper.
    """

    def __init__(
        self, scores: Score, weights_fn: WeightsFn = softmax, distance_score: DistanceScore | None = None
    ) -> None:
        self.scores = scores
        self.weights_fn = weights_fn
        self.distance_score = distance_score

    def __call__(
        self,
        query_BTHK: jax.Array,
        key_BSHK: jax.Array,
        value_BSHU: jax.Array,
        mask: Mask,
        dropout: Dropout | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Returns context_BTHU and weights_BHTS. Positions are 0, 1, ... in the row, of queries and of keys."""
        positions = (jnp.arange(query_BTHK.shape[1]), jnp.arange(key_BSHK.shape[1]))
        scores_BHTS = self.with_distances(self.scores(query_BTHK, key_BSHK), query_BTHK, *positions)
        return attend(scores_BHTS, value_BSHU, materialise(mask), dropout, self.weights_fn)

    def with_distances(
        self, scores_BHTS: jax.Array, query_BTHK: jax.Array, query_position_T: jax.Array, key_position_S: jax.Array
    ) -> jax.Array:
        """Returns the scores plus `distance_score`, if there is one."""
        if self.distance_score is None:
            return scores_BHTS
        return scores_BHTS + self.distance_score(query_BTHK, query_position_T, key_position_S)

    def attend_chunks(
        self, query_BNHK: jax.Array, chunks: Sequence[KeyValue], mask: jax.Array, position_B: jax.Array
    ) -> jax.Array:
        """Attends from N hypotheses of each sentence to keys and values in chunks, without concatenating them.

        Args:
          query_BNHK: queries.
          chunks: keys and values of positions 0, 1, ..., each position with N slots.
          mask: covers all chunks, one after the other.
          position_B: of the queries of a sentence, int32; only a `distance_score` depends on it.

        Returns:
          context_BNHU, float32.
        """
        scores = [self.scores(query_BNHK, chunk.key_BSHK) for chunk in chunks]
        ends = list(itertools.accumulate(chunk_scores.shape[-1] for chunk_scores in scores))
        scores_BHNS = jnp.concatenate(scores, axis=-1)
        if self.distance_score is not None:
            # As if the sentences were positions of N sequences: each has a position of its own.
            position_S = jnp.arange(ends[-1]) // query_BNHK.shape[1]
            distances_NHBS = self.distance_score(query_BNHK.swapaxes(0, 1), position_B, position_S)
            scores_BHNS += distances_NHBS.swapaxes(0, 2)
        weights_BHNS = self.weights_fn(scores_BHNS, mask)
        contexts = [
            context(weights, chunk.value_BSHU)
            for weights, chunk in zip(jnp.split(weights_BHNS, ends[:-1], axis=-1), chunks, strict=True)
        ]
        return functools.reduce(jnp.add, contexts)


def cancels_key_bias(attention: Attention, rotate: Rotate = no_rotation) -> bool:
    """Returns whether a bias of the keys changes no weight, so that its gradient is 0.

    The bias adds the same number to all scores of a query, if these are dot products of keys without rotation. Weights
    that are a softmax do not depend on that number. Computed, the gradient is a rounding error, which Adam would
    scale to a full update.
    """
    return (
        isinstance(attention.scores, DotScore | LearnedScaleDotScore)
        and (attention.weights_fn in (softmax, uniform) or isinstance(attention.weights_fn, TopKWeights))
        and rotate is no_rotation
    )


class MultiHeadAttention(nnx.Module):
    """Concat(head_1, ..., head_h) W^O with head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V).

    The h projections of each kind are one linear layer.

    Args:
      d_model: width of inputs and outputs.
      heads: h.
      d_k: width of a head's query and key.
      d_v: width of a head's value.
      attention: scores and weights; Eq. 1 in the paper.
      rotate: applied to queries and keys with their positions: `ops.positions.rotary`, or the identity, as in the
        paper.
      dtype: dtype of the matmuls.
      train_key_bias: whether the keys' bias has a gradient; see `cancels_key_bias`.
      chunked_cache: whether the cache of a search consists of chunks; see `kv_cache.init_cache`.
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
        rotate: Rotate = no_rotation,
        dtype: jnp.dtype,
        train_key_bias: bool = True,
        chunked_cache: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.heads = heads
        self.attention = attention
        self.rotate = rotate
        self.chunked_cache = chunked_cache
        self.to_query = Linear(d_model, heads * d_k, dtype=dtype, rngs=rngs)
        self.to_key = Linear(d_model, heads * d_k, dtype=dtype, rngs=rngs, train_bias=train_key_bias)
        self.to_value = Linear(d_model, heads * d_v, dtype=dtype, rngs=rngs)
        self.to_output = Linear(heads * d_v, d_model, dtype=dtype, rngs=rngs)

    def _split(self, x: jax.Array) -> jax.Array:
        """[B, T, heads · size] to [B, T, heads, size]."""
        return x.reshape(*x.shape[:-1], self.heads, -1)

    def keys_values(self, memory_BSD: jax.Array, position_S: jax.Array | None = None) -> KeyValue:
        """Projects keys and values, once for all queries. Positions are 0, 1, ... by default."""
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
        """Attends from each position of `x_BTD` to `memory`; returns output_BTD and weights_BHTS.

        `mask` is bool and broadcasts to [B, H, T, S]. Positions are 0, 1, ... by default.
        """
        query_BTHK = self._rotated(self._split(self.to_query(x_BTD)), position_T)
        context_BTHU, weights_BHTS = self.attention(query_BTHK, memory.key_BSHK, memory.value_BSHU, mask, dropout)
        output_BTD = self.to_output(context_BTHU.reshape(*x_BTD.shape[:-1], -1))
        return output_BTD, weights_BHTS

    def init_cache(self, batch: int, beams: int, length: int, dtype: jnp.dtype) -> KVCache:
        """Makes an empty cache of `length` positions for `beams` hypotheses of each sentence."""
        widths = (self.to_key.out_features // self.heads, self.to_value.out_features // self.heads)
        return kv_cache.init_cache(batch, self.heads, beams, length, widths, dtype, self.chunked_cache)

    def step(
        self, x_BND: jax.Array, cache: KVCache, position_B: jax.Array, mask: jax.Array
    ) -> tuple[jax.Array, KVCache]:
        """Causal self-attention of one new token of each hypothesis.

        Args:
          x_BND: the newest token of each hypothesis, at the position of its sentence.
          cache: keys and values of earlier positions, from `init_cache`.
          position_B: int32, the position of each sentence.
          mask: which slots each hypothesis sees, those of `position_B` included: `masks.beam_history`.

        Returns:
          output_BND, and the cache with the new keys and values: hypothesis n's in slot n of its position.
        """
        slot_B, x_NBD = position_B * x_BND.shape[1], x_BND.swapaxes(0, 1)
        ends = kv_cache.chunk_ends(cache)
        # As if the sentences were positions of N sequences: each has a position of its own.
        new = HeadMajorKV(*(array_NBHK.transpose(1, 2, 0, 3) for array_NBHK in self.keys_values(x_NBD, position_B)))
        cache = kv_cache.write(cache, new, slot_B)
        query_BNHK = self._rotated(self._split(self.to_query(x_NBD)), position_B).swapaxes(0, 1)

        def attend_first(count: int, query_BNHK: jax.Array, cache: KVCache, mask: jax.Array) -> jax.Array:
            chunks = [chunk.seq_major() for chunk in cache[:count]]
            query_BNHK = query_BNHK.astype(chunks[0].key_BSHK.dtype)
            return self.attention.attend_chunks(query_BNHK, chunks, mask[..., : ends[count - 1]], position_B)

        # Most outputs are much shorter than the cache; a step does not read chunks that are still empty.
        branches = [functools.partial(attend_first, count) for count in range(1, 1 + len(cache))]
        last_slot = jnp.max(slot_B)
        full_chunks = sum((last_slot >= end).astype(jnp.int32) for end in ends[:-1])
        context_BNHU = jax.lax.switch(full_chunks, branches, query_BNHK, cache, mask)
        return self.to_output(context_BNHU.reshape(*x_BND.shape[:-1], -1)), cache
