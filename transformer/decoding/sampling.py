"""Searches that keep one hypothesis a sentence and choose its next token at each step: greedy search and sampling."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from transformer.decoding.hypotheses import LOWEST, Found, length_penalty, output_limits
from transformer.decoding.search_loop import Stages
from transformer.models.interface import DecodeState, Seq2Seq
from transformer.ops.topk import argmax, top_k
from transformer.spec import BOS, EOS, PAD, DecodeSpec

# (logits_BV without PAD and BOS, step, what was given for each sentence) to token_B
Choose = Callable[[jax.Array, jax.Array, Any], jax.Array]


class _Loop(NamedTuple):
    step: jax.Array
    state: DecodeState
    token_B: jax.Array  # the token to feed next
    tokens_BT: jax.Array
    scores_B: jax.Array
    done_B: jax.Array
    limit_B: jax.Array  # most tokens before EOS
    real_B: jax.Array  # bool, False where a source row is nothing but padding
    given: Any  # what choosing needs, leaves [B, ...]


def greedy_search(
    model: Seq2Seq, source_BS: jax.Array, spec: DecodeSpec, frugal: bool = False, steps: int | None = None
) -> Stages:
    """Takes the most probable token at each step; of equally probable ones the one of lowest id."""
    return _search(model, source_BS, spec, lambda logits_BV, step, given: argmax(logits_BV), (), frugal, steps)


def sample(
    model: Seq2Seq,
    source_BS: jax.Array,
    spec: DecodeSpec,
    key: jax.Array,
    frugal: bool = False,
    steps: int | None = None,
) -> Stages:
    """Draws each token from the model's distribution, as `candidates` narrows it down.

    The random numbers of a sentence come from `key`, the sentence's own tokens and the step. The same sentence under
    the same key therefore gives the same sample wherever it stands; for another sample of it, give another key. There
    may be a key for each sentence.
    """
    keys_B = jax.vmap(sentence_key, in_axes=(0 if key.ndim else None, 0))(key, source_BS)

    def choose(logits_BV: jax.Array, step: jax.Array, given: jax.Array) -> jax.Array:
        # The candidates of a step, like their order, are one sentence's own matter, and so is the place drawn.
        scores, token = candidates(logits_BV, spec)
        place_B = jax.vmap(lambda key, scores: jax.random.categorical(jax.random.fold_in(key, step), scores))(
            jax.random.wrap_key_data(given), scores
        )
        return jnp.take_along_axis(token, place_B[:, None], axis=1)[:, 0]

    return _search(model, source_BS, spec, choose, jax.random.key_data(keys_B), frugal, steps)


def sentence_key(key: jax.Array, source_S: jax.Array) -> jax.Array:
    """`key` with each token of a sentence folded into it, in order; padding changes nothing."""

    def fold(key: jax.Array, token: jax.Array) -> tuple[jax.Array, None]:
        return jnp.where(token == PAD, key, jax.random.fold_in(key, token)), None

    return jax.lax.scan(fold, key, source_S)[0]


def candidates(logits_BV: jax.Array, spec: DecodeSpec) -> tuple[jax.Array, jax.Array]:
    """The tokens that may be drawn, and the logits to draw them with.

    The logits are divided by `temperature`; of the tokens only the `top_k` most probable stay; and of those, with their
    probabilities made to sum to one, the fewest that together have probability `top_p` (Holtzman et al. 2020), along
    with any that are exactly as probable as the last of them. `top_k=0` and `top_p=1` leave everything in.

    Returns:
      scores: logits, LOWEST at tokens that are out; the token ids they belong to. Both [B, candidates]
    """
    batch, vocabulary = logits_BV.shape
    scores = jnp.maximum(logits_BV / spec.temperature, LOWEST)
    token = jnp.broadcast_to(jnp.arange(vocabulary)[None], (batch, vocabulary))
    if 0 < spec.top_k < vocabulary:
        scores, token = top_k(scores, spec.top_k)
    if spec.top_p < 1:
        probability = jax.nn.softmax(scores, axis=-1)
        scores = jnp.where(probability >= _nucleus_threshold(probability, spec.top_p), scores, LOWEST)
    return scores, token


def _nucleus_threshold(probability: jax.Array, top_p: float) -> jax.Array:
    """The largest probability such that what is at least as probable sums to `top_p`; [B, V] to [B, 1].

    Non-negative floats are ordered as their bits are, read as an integer. So the threshold's 31 bits are found one by
    one, from the highest: that many sums, where sorting a vocabulary on a CPU takes as long as a whole step.
    """

    def set_bit(place: jax.Array, threshold_B1: jax.Array) -> jax.Array:
        higher_B1 = threshold_B1 | (1 << (30 - place))
        enough = jnp.where(probability >= _as_float(higher_B1), probability, 0.0).sum(axis=-1, keepdims=True) >= top_p
        return jnp.where(enough, higher_B1, threshold_B1)

    return _as_float(jax.lax.fori_loop(0, 31, set_bit, jnp.zeros((probability.shape[0], 1), jnp.int32)))


def _as_float(bits: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _search(
    model: Seq2Seq,
    source_BS: jax.Array,
    spec: DecodeSpec,
    choose: Choose,
    given: Any,
    frugal: bool,
    steps: int | None,
) -> Stages:
    limit_B, real_B, room = output_limits(source_BS, spec.max_extra_length, steps)
    batch = source_BS.shape[0]

    def advance(loop: _Loop) -> _Loop:
        logits_BNV, state = model.step(loop.state, loop.token_B[:, None], loop.step)
        logits_BV = logits_BNV[:, 0]
        token_V = jnp.arange(logits_BV.shape[1])
        never_V = (token_V == PAD) | (token_V == BOS)
        token_B = choose(jnp.where(never_V[None], LOWEST, logits_BV), loop.step, loop.given).astype(jnp.int32)
        token_B = jnp.where(loop.step >= loop.limit_B, EOS, token_B)
        chosen_B = jnp.take_along_axis(logits_BV, token_B[:, None], axis=1)[:, 0]
        gained_B = jnp.maximum(chosen_B - jax.nn.logsumexp(logits_BV, axis=-1), LOWEST)
        return loop._replace(
            step=loop.step + 1,
            state=state,
            token_B=token_B,
            tokens_BT=loop.tokens_BT.at[:, loop.step].set(jnp.where(loop.done_B, PAD, token_B)),
            scores_B=loop.scores_B + jnp.where(loop.done_B, 0.0, gained_B),
            done_B=loop.done_B | (token_B == EOS),
        )

    def begin() -> _Loop:
        state = model.start(model.encode(source_BS), 1, room, frugal)
        first_B = jnp.full(batch, BOS, jnp.int32)
        tokens_BT = jnp.full((batch, room), PAD, jnp.int32)
        scores_B = jnp.where(real_B, 0.0, LOWEST)
        return _Loop(jnp.zeros((), jnp.int32), state, first_B, tokens_BT, scores_B, ~real_B, limit_B, real_B, given)

    def found(loop: _Loop) -> Found:
        length_B = jnp.sum(loop.tokens_BT != PAD, axis=1)
        ranks_B = jnp.where(loop.real_B, loop.scores_B / length_penalty(length_B, spec.length_penalty), LOWEST)
        return Found(loop.tokens_BT[:, None], loop.scores_B[:, None], ranks_B[:, None])

    return Stages(begin, advance, room, found, lambda loop: loop.tokens_BT)
