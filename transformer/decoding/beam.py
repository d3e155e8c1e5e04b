"""Beam search with the length penalty of Wu et al. 2016; Section 6.1 of Vaswani et al. 2017.

Each step extends the N live hypotheses of a sentence by every token. Of all extensions

* those that end with EOS and are among the N best by score become finished hypotheses;
* the N best of those that do not end become the next live hypotheses.

The search keeps the N finished hypotheses of highest rank; the rank is score / length penalty. A sentence is done when

* N hypotheses are finished, and the best live hypothesis, ranked at its present length, is no better than the worst of
  them; or
* no extension is left; or
* the sentence is at its length limit.

The finished hypotheses of a sentence that is done do not change, however long the other rows take. With one beam this
is greedy search for every alpha: the hypothesis ends when EOS is the best token.

Departs: the papers do not specify when to stop. Ranking live hypotheses at their *present* length is exact for
alpha = 0, where scores only fall. For alpha > 0 an exact bound would have to assume that all tokens up to the limit
have probability 1; the search would run for tens of additional steps and seldom change its result.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from transformer.decoding.hypotheses import (
    LOWEST,
    SearchResult,
    exists,
    forced_tokens,
    gather_beams,
    length_penalty,
    output_limits,
)
from transformer.decoding.search_loop import SearchLoop
from transformer.models.interface import DecodeState, Seq2Seq
from transformer.ops.masks import at_position
from transformer.ops.topk import block_size
from transformer.spec import BOS, EOS, PAD, DecodeSpec


class _LiveHypotheses(NamedTuple):
    """Hypotheses without EOS. An entry with score LOWEST is empty."""

    tokens_BNT: jax.Array
    last_BN: jax.Array  # the token to feed next
    scores_BN: jax.Array


class _BeamState(NamedTuple):
    step_B: jax.Array
    state: DecodeState
    live: _LiveHypotheses
    finished: SearchResult
    done_B: jax.Array
    limit_B: jax.Array  # maximum number of tokens before EOS
    prefix_BT: jax.Array | None  # tokens with which the outputs begin


class _Extensions(NamedTuple):
    """The best extensions of a sentence's live hypotheses by one token, best first; M = 2N.

    M is twice the beam size because at most N extensions end, one per hypothesis. So at least N of the M do not end.
    """

    scores_BM: jax.Array
    parent_BM: jax.Array
    token_BM: jax.Array


def beam_search(
    model: Seq2Seq,
    source_BS: jax.Array,
    spec: DecodeSpec,
    steps: int | None = None,
    prefix_BT: jax.Array | None = None,
) -> SearchLoop:
    """Builds a beam search for the `spec.beam_size` best outputs of each row; arguments as for `search.search`."""
    limit_B, nonempty_B, max_steps = output_limits(source_BS, spec.max_extra_length, steps, prefix_BT)
    batch, beams = source_BS.shape[0], spec.beam_size
    empty_BN = jnp.full((batch, beams), LOWEST)
    blank_BNT = jnp.full((batch, beams, max_steps), PAD, jnp.int32)

    def advance(search: _BeamState) -> _BeamState:
        logits_BNV, state = model.step(search.state, search.live.last_BN, search.step_B)
        forced_B = None if search.prefix_BT is None else forced_tokens(search.prefix_BT, search.step_B)
        extensions = _extend(logits_BNV, search.live.scores_BN, search.step_B >= search.limit_B, forced_B)
        penalty_B = length_penalty(search.step_B + 1, spec.length_penalty)
        finished = _update_finished(search, extensions, penalty_B)
        live, parent_BN = _update_live(search, extensions)
        state = state._replace(per_beam=gather_beams(state.per_beam, parent_BN))
        best_B = jnp.where(exists(live.scores_BN[:, 0]), live.scores_BN[:, 0] / penalty_B, LOWEST)
        done_B = search.done_B | (best_B <= finished.ranks_BN[:, -1])
        return _BeamState(search.step_B, state, live, finished, done_B, search.limit_B, search.prefix_BT)

    def initial_state() -> _BeamState:
        # All beams start equal. Only one may live: otherwise N copies of the same hypothesis would fill the beam.
        bos_BN = jnp.full((batch, beams), BOS, jnp.int32)
        live = _LiveHypotheses(blank_BNT, bos_BN, empty_BN.at[:, 0].set(0.0))
        state = model.start(model.encode(source_BS), beams, max_steps)
        finished = SearchResult(blank_BNT, empty_BN, empty_BN)
        return _BeamState(jnp.zeros(batch, jnp.int32), state, live, finished, ~nonempty_B, limit_B, prefix_BT)

    return SearchLoop(
        initial_state, advance, max_steps, lambda search: search.finished, lambda search: search.live.tokens_BNT[:, 0]
    )


def _extend(
    logits_BNV: jax.Array, scores_BN: jax.Array, at_limit_B: jax.Array, forced_B: jax.Array | None = None
) -> _Extensions:
    """Returns the best extensions by score; a sentence at its limit can only end.

    `forced_B` is the only token that a sentence may be extended by; PAD: any.

    Among equal scores, extensions of earlier hypotheses come first, then those by tokens of lower id; EOS has the
    lowest id of the tokens that are allowed.
    """
    batch, beams, vocabulary = logits_BNV.shape
    normaliser_BN1 = jax.nn.logsumexp(logits_BNV, axis=-1, keepdims=True)
    if forced_B is not None:  # after the normaliser, so that scores stay those of the model
        allowed_BV = (forced_B[:, None] == PAD) | (forced_B[:, None] == jnp.arange(vocabulary)[None])
        # Not -inf, with which `extend_best_blocks` excludes blocks.
        logits_BNV = jnp.where(allowed_BV[:, None], logits_BNV, 2 * LOWEST)

    def extend_all(logits_BNV: jax.Array) -> _Extensions:
        parent_BN = jnp.broadcast_to(jnp.arange(beams, dtype=jnp.int32), (batch, beams))
        return _top_extensions(logits_BNV, parent_BN, jnp.zeros_like(parent_BN), scores_BN, normaliser_BN1, at_limit_B)

    size = block_size(vocabulary, 3)
    count = vocabulary // max(size, 1)

    def extend_best_blocks(logits_BNV: jax.Array) -> _Extensions:
        """Like `ops.topk` on a CPU: takes the maximum of each block, then searches the best 2N blocks of a sentence.

        The first block of each hypothesis is always searched and not ranked: it holds the tokens that may be forbidden.
        """
        blocks = logits_BNV.reshape(batch, beams, count, size)
        best_BNC = _extended_scores(jnp.max(blocks, axis=-1), scores_BN, normaliser_BN1)
        best_BNC = jnp.where(jnp.arange(count)[None, None] == 0, -jnp.inf, best_BNC)
        _, chosen_BM = jax.lax.top_k(best_BNC.reshape(batch, -1), 2 * beams)
        first_BN = jnp.broadcast_to(count * jnp.arange(beams, dtype=jnp.int32), (batch, beams))
        chosen_BM = jnp.sort(jnp.concatenate([first_BN, chosen_BM], axis=1), axis=1)
        offset_B1 = beams * count * jnp.arange(batch, dtype=jnp.int32)[:, None]
        candidates = blocks.reshape(-1, size)[offset_B1 + chosen_BM]
        parent_BM, token_BM = chosen_BM // count, chosen_BM % count * size
        return _top_extensions(candidates, parent_BM, token_BM, scores_BN, normaliser_BN1, at_limit_B)

    if not size:
        return extend_all(logits_BNV)
    return jax.lax.platform_dependent(logits_BNV, cpu=extend_best_blocks, default=extend_all)


def _top_extensions(
    logits: jax.Array,
    parent_BG: jax.Array,
    first_BG: jax.Array,
    scores_BN: jax.Array,
    normaliser_BN1: jax.Array,
    at_limit_B: jax.Array,
) -> _Extensions:
    """Returns the best extensions out of G groups per sentence.

    Args:
      logits: [B, G, tokens].
      parent_BG: the hypothesis that a group extends.
      first_BG: the first token of a group; its other tokens follow consecutively.
      scores_BN: scores of the hypotheses.
      normaliser_BN1: log-sum-exp of the logits of each hypothesis.
      at_limit_B: True for sentences whose hypotheses can only end.
    """
    batch, _, size = logits.shape
    token = first_BG[..., None] + jnp.arange(size, dtype=jnp.int32)[None, None]
    forbidden = (token == PAD) | (token == BOS) | (at_limit_B[:, None, None] & (token != EOS))
    scores_BG = jnp.take_along_axis(scores_BN, parent_BG, axis=1)
    normaliser_BG1 = jnp.take_along_axis(normaliser_BN1, parent_BG[..., None], axis=1)
    scores = jnp.where(forbidden, LOWEST, _extended_scores(logits, scores_BG, normaliser_BG1))
    scores_BM, index_BM = jax.lax.top_k(scores.reshape(batch, -1), 2 * scores_BN.shape[1])
    # Clamp after `top_k`: XLA recognises `top_k` by the slice of a sort, and falls back to sorting if only a part of
    # that slice is used directly.
    scores_BM = jnp.maximum(scores_BM, LOWEST)
    group_BM = index_BM // size
    parent_BM = jnp.take_along_axis(parent_BG, group_BM, axis=1)
    first_BM = jnp.take_along_axis(first_BG, group_BM, axis=1)
    return _Extensions(scores_BM, parent_BM, first_BM + index_BM % size)


def _extended_scores(logits: jax.Array, scores_BG: jax.Array, normaliser_BG1: jax.Array) -> jax.Array:
    """Scores of hypotheses after one more token with these logits; -inf where a logit or their sum is NaN."""
    scores = scores_BG[..., None] + (logits - normaliser_BG1)
    return jnp.where(jnp.isnan(scores), -jnp.inf, scores)  # `top_k` would rank NaN first


def _update_finished(search: _BeamState, extensions: _Extensions, penalty_B: jax.Array) -> SearchResult:
    """Returns the best of the finished hypotheses and those that end at this step, for sentences that are not done."""
    beams = search.finished.ranks_BN.shape[1]
    scores_BN, parent_BN = extensions.scores_BM[:, :beams], extensions.parent_BM[:, :beams]
    ends_BN = (extensions.token_BM[:, :beams] == EOS) & exists(scores_BN) & ~search.done_B[:, None]
    tokens_BNT = gather_beams(search.live.tokens_BNT, parent_BN)
    tokens_BNT = jnp.where(at_position(search.step_B, tokens_BNT.shape[-1])[:, None], EOS, tokens_BNT)
    ending = SearchResult(tokens_BNT, scores_BN, jnp.where(ends_BN, scores_BN / penalty_B[:, None], LOWEST))
    both = jax.tree.map(lambda old, new: jnp.concatenate([old, new], axis=1), search.finished, ending)
    # Among equal ranks `top_k` takes the first: an entry that stays empty is an old one, never an unfinished extension.
    return gather_beams(both, jax.lax.top_k(both.ranks_BN, beams)[1])


def _update_live(search: _BeamState, extensions: _Extensions) -> tuple[_LiveHypotheses, jax.Array]:
    """Returns the next live hypotheses and parent_BN, the present hypothesis that each extends."""
    beams = search.live.scores_BN.shape[1]
    open_BM = jnp.where(extensions.token_BM == EOS, LOWEST, extensions.scores_BM)
    scores_BN, index_BN = jax.lax.top_k(open_BM, beams)
    parent_BN = jnp.take_along_axis(extensions.parent_BM, index_BN, axis=1)
    token_BN = jnp.take_along_axis(extensions.token_BM, index_BN, axis=1)
    tokens_BNT = gather_beams(search.live.tokens_BNT, parent_BN)
    new_B1T = at_position(search.step_B, tokens_BNT.shape[-1])[:, None]
    tokens_BNT = jnp.where(new_B1T, token_BN[..., None], tokens_BNT)
    return _LiveHypotheses(tokens_BNT, token_BN, scores_BN), parent_BN
