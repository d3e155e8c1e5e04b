"""Greedy search and sampling: searches that keep one hypothesis per sentence and choose its next token at each step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from transformer.decoding.hypotheses import LOWEST, SearchResult, exists, forced_tokens, length_penalty, output_limits
from transformer.decoding.search_loop import SearchLoop
from transformer.models.interface import DecodeState, Seq2Seq
from transformer.ops.masks import at_position
from transformer.ops.topk import argmax, top_k
from transformer.spec import BOS, EOS, PAD, DecodeSpec

# (logits_BV without PAD and BOS, step_B, per-sentence arguments of the choice) to token_B
ChooseToken = Callable[[jax.Array, jax.Array, Any], jax.Array]


class _State(NamedTuple):
    step_B: jax.Array
    state: DecodeState
    token_B: jax.Array  # the token to feed next
    tokens_BT: jax.Array
    scores_B: jax.Array
    done_B: jax.Array
    limit_B: jax.Array  # maximum number of tokens before EOS
    per_sentence: Any  # per-sentence arguments of `ChooseToken`, leaves [B, ...]
    prefix_BT: jax.Array | None  # tokens with which the outputs begin


def greedy_search(
    model: Seq2Seq,
    source_BS: jax.Array,
    spec: DecodeSpec,
    steps: int | None = None,
    prefix_BT: jax.Array | None = None,
) -> SearchLoop:
    """Builds a search that takes the most probable token at each step, and among equals the one of lowest id."""
    return _single_hypothesis_search(
        model, source_BS, spec, lambda logits_BV, step_B, per_sentence: argmax(logits_BV), (), steps, prefix_BT
    )


def sample(
    model: Seq2Seq,
    source_BS: jax.Array,
    spec: DecodeSpec,
    key: jax.Array,
    steps: int | None = None,
    prefix_BT: jax.Array | None = None,
) -> SearchLoop:
    """Builds a search that draws each token from the model's distribution, restricted by `candidates`.

    The random numbers of a sentence depend on `key`, the tokens of the sentence and the step. So the same sentence and
    key give the same sample in every batch and row. For another sample of a sentence, pass another key. `key` is one
    key, or one for each sentence.
    """
    keys_B = jax.vmap(sentence_key, in_axes=(0 if key.ndim else None, 0))(key, source_BS)

    def choose(logits_BV: jax.Array, step_B: jax.Array, key_data: jax.Array) -> jax.Array:
        # The candidates and their order depend on one sentence only, and so does the index that is drawn.
        scores, token = candidates(logits_BV, spec)
        index_B = jax.vmap(lambda key, step, scores: jax.random.categorical(jax.random.fold_in(key, step), scores))(
            jax.random.wrap_key_data(key_data), step_B, scores
        )
        return jnp.take_along_axis(token, index_B[:, None], axis=1)[:, 0]

    return _single_hypothesis_search(model, source_BS, spec, choose, jax.random.key_data(keys_B), steps, prefix_BT)


def sentence_key(key: jax.Array, source_S: jax.Array) -> jax.Array:
    """Folds each token of a sentence into `key`, in order; padding changes nothing."""

    def fold(key: jax.Array, token: jax.Array) -> tuple[jax.Array, None]:
        return jnp.where(token == PAD, key, jax.random.fold_in(key, token)), None

    return jax.lax.scan(fold, key, source_S)[0]


def candidates(logits_BV: jax.Array, spec: DecodeSpec) -> tuple[jax.Array, jax.Array]:
    """Returns the tokens that may be drawn, and the logits to draw them with.

    Logits are divided by `temperature`. `top_k` keeps the k most probable tokens. `top_p` then keeps, with the
    remaining probabilities renormalised, the smallest set of tokens whose probabilities sum to at least `top_p`
    (Holtzman et al. 2020), and all tokens exactly as probable as the last of them. `top_k=0` and `top_p=1` keep all
    tokens.

    Returns:
      scores: [B, candidates], logits; LOWEST at tokens that are excluded.
      token: [B, candidates], the token ids of the scores.
    """
    batch, vocabulary = logits_BV.shape
    scores = jnp.maximum(logits_BV / spec.temperature, LOWEST)
    token = jnp.broadcast_to(jnp.arange(vocabulary)[None], (batch, vocabulary))
    if 0 < spec.top_k < vocabulary:
        scores, token = top_k(scores, spec.top_k)
    if isinstance(spec.top_p, jax.Array) or spec.top_p < 1:  # the server's is an argument of its program
        probability = jax.nn.softmax(scores, axis=-1)
        scores = jnp.where(probability >= _nucleus_threshold(probability, spec.top_p), scores, LOWEST)
    return scores, token


def _nucleus_threshold(probability: jax.Array, top_p: float) -> jax.Array:
    """The largest p such that the tokens of probability ≥ p sum to at least `top_p`; [B, V] to [B, 1].

    Non-negative floats sort like their bits read as an integer. So the 31 bits of the threshold are found one by one,
    from the highest. That takes 31 sums; sorting a vocabulary on a CPU takes as long as a complete step.
    """

    def set_bit(index: jax.Array, threshold_B1: jax.Array) -> jax.Array:
        higher_B1 = threshold_B1 | (1 << (30 - index))
        enough = jnp.where(probability >= _as_float(higher_B1), probability, 0.0).sum(axis=-1, keepdims=True) >= top_p
        return jnp.where(enough, higher_B1, threshold_B1)

    return _as_float(jax.lax.fori_loop(0, 31, set_bit, jnp.zeros((probability.shape[0], 1), jnp.int32)))


def _as_float(bits: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _single_hypothesis_search(
    model: Seq2Seq,
    source_BS: jax.Array,
    spec: DecodeSpec,
    choose: ChooseToken,
    per_sentence: Any,
    steps: int | None,
    prefix_BT: jax.Array | None,
) -> SearchLoop:
    limit_B, nonempty_B, max_steps = output_limits(source_BS, spec.max_extra_length, steps, prefix_BT)
    batch = source_BS.shape[0]

    def advance(search: _State) -> _State:
        logits_BNV, state = model.step(search.state, search.token_B[:, None], search.step_B)
        logits_BV = logits_BNV[:, 0]
        token_V = jnp.arange(logits_BV.shape[1])
        forbidden_V = (token_V == PAD) | (token_V == BOS)
        allowed_BV = jnp.where(forbidden_V[None], LOWEST, logits_BV)
        token_B = choose(allowed_BV, search.step_B, search.per_sentence).astype(jnp.int32)
        token_B = jnp.where(search.step_B >= search.limit_B, EOS, token_B)
        if search.prefix_BT is not None:
            forced_B = forced_tokens(search.prefix_BT, search.step_B)
            token_B = jnp.where(forced_B == PAD, token_B, forced_B)
        chosen_B = jnp.take_along_axis(logits_BV, token_B[:, None], axis=1)[:, 0]
        log_probability_B = chosen_B - jax.nn.logsumexp(logits_BV, axis=-1)
        log_probability_B = jnp.where(log_probability_B > LOWEST, log_probability_B, LOWEST)  # also where it is NaN
        new_BT = at_position(search.step_B, search.tokens_BT.shape[1]) & ~search.done_B[:, None]
        return search._replace(
            state=state,
            token_B=token_B,
            tokens_BT=jnp.where(new_BT, token_B[:, None], search.tokens_BT),
            scores_B=search.scores_B + jnp.where(search.done_B, 0.0, log_probability_B),
            done_B=search.done_B | (token_B == EOS),
        )

    def initial_state() -> _State:
        return _State(
            step_B=jnp.zeros(batch, jnp.int32),
            state=model.start(model.encode(source_BS), 1, max_steps),
            token_B=jnp.full(batch, BOS, jnp.int32),
            tokens_BT=jnp.full((batch, max_steps), PAD, jnp.int32),
            scores_B=jnp.where(nonempty_B, 0.0, LOWEST),
            done_B=~nonempty_B,
            limit_B=limit_B,
            per_sentence=per_sentence,
            prefix_BT=prefix_BT,
        )

    def result(search: _State) -> SearchResult:
        exists_B = exists(search.scores_B)
        tokens_BT = jnp.where(exists_B[:, None], search.tokens_BT, PAD)
        scores_B = jnp.where(exists_B, search.scores_B, LOWEST)
        length_B = jnp.sum(tokens_BT != PAD, axis=1)
        ranks_B = jnp.where(exists_B, scores_B / length_penalty(length_B, spec.length_penalty), LOWEST)
        return SearchResult(tokens_BT[:, None], scores_B[:, None], ranks_B[:, None])

    return SearchLoop(initial_state, advance, max_steps, result, lambda search: search.tokens_BT)
