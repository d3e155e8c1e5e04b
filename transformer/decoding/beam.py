"""Beam search with the length penalty of Wu et al. 2016; Section 6.1 of Vaswani et al. 2017.

At every step the live hypotheses of a sentence, N of them, are extended by every token. Of all extensions

* those that end (EOS) and are among the N best by score become finished hypotheses;
* the N best of those that do not end are the next live hypotheses.

The N finished hypotheses of best rank are kept, rank being score / length penalty. A sentence is done when N are
finished and its best live hypothesis, ranked at its present length, is no better than the worst of them; when there is
nothing left to extend; or at its length limit. From then on its finished hypotheses stay as they are, however long its
neighbours take. With one beam this is greedy search, for every alpha: the first EOS that is the best token ends it.

Departs: the papers do not say when to stop. Ranking live hypotheses at their *present* length is exact for alpha = 0,
where scores only fall; for alpha > 0 a bound would have to assume that all tokens up to the limit come for free, which
makes a search run on for tens of steps and seldom changes what it finds.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from transformer.decoding.hypotheses import LOWEST, Found, length_penalty, output_limits, pick_beams
from transformer.decoding.search_loop import Stages
from transformer.models.interface import DecodeState, Seq2Seq
from transformer.ops.topk import block_size
from transformer.spec import BOS, EOS, PAD, DecodeSpec


class _Live(NamedTuple):
    """The hypotheses that have not ended; those of score LOWEST are empty places."""

    tokens_BNT: jax.Array
    last_BN: jax.Array  # the token to feed next
    scores_BN: jax.Array


class _Loop(NamedTuple):
    step: jax.Array
    state: DecodeState
    live: _Live
    finished: Found
    done_B: jax.Array
    limit_B: jax.Array  # most tokens before EOS


class _Extensions(NamedTuple):
    """The best extensions of a sentence's live hypotheses by one token, best first; M = 2N of them.

    Twice the beam, because at most N end (one a hypothesis): at least N that do not end are always among them.
    """

    scores_BM: jax.Array
    parent_BM: jax.Array
    token_BM: jax.Array


def beam_search(
    model: Seq2Seq, source_BS: jax.Array, spec: DecodeSpec, frugal: bool = False, steps: int | None = None
) -> Stages:
    """The search described above for the `spec.beam_size` best outputs of each row of `source_BS`."""
    limit_B, real_B, room = output_limits(source_BS, spec.max_extra_length, steps)
    batch, beams = source_BS.shape[0], spec.beam_size
    empty_BN = jnp.full((batch, beams), LOWEST)
    blank_BNT = jnp.full((batch, beams, room), PAD, jnp.int32)

    def advance(loop: _Loop) -> _Loop:
        logits_BNV, state = model.step(loop.state, loop.live.last_BN, loop.step)
        extensions = _extend(logits_BNV, loop.live.scores_BN, loop.step >= loop.limit_B)
        penalty = length_penalty(loop.step + 1, spec.length_penalty)
        finished = _finish(loop, extensions, penalty)
        live, parent_BN = _continue(loop, extensions)
        state = state._replace(carry=pick_beams(state.carry, parent_BN))
        best_B = jnp.where(_exists(live.scores_BN[:, 0]), live.scores_BN[:, 0] / penalty, LOWEST)
        done_B = loop.done_B | (best_B <= finished.ranks_BN[:, -1])
        return _Loop(loop.step + 1, state, live, finished, done_B, loop.limit_B)

    def begin() -> _Loop:
        # All beams start equal, so only one may live: otherwise the same hypothesis would fill the beam.
        live = _Live(blank_BNT, jnp.full((batch, beams), BOS, jnp.int32), empty_BN.at[:, 0].set(0.0))
        state = model.start(model.encode(source_BS), beams, room, frugal)
        finished = Found(blank_BNT, empty_BN, empty_BN)
        return _Loop(jnp.zeros((), jnp.int32), state, live, finished, ~real_B, limit_B)

    return Stages(begin, advance, room, lambda loop: loop.finished, lambda loop: loop.live.tokens_BNT[:, 0])


def _exists(scores: jax.Array) -> jax.Array:
    return scores > LOWEST / 2


def _extend(logits_BNV: jax.Array, scores_BN: jax.Array, at_limit_B: jax.Array) -> _Extensions:
    """Ranks the extensions by score; a sentence at its limit can only end.

    Of equal ones those of earlier hypotheses come first, and then those by tokens of lower id: EOS is the first of all.
    """
    batch, beams, vocabulary = logits_BNV.shape
    normaliser_BN1 = jax.nn.logsumexp(logits_BNV, axis=-1, keepdims=True)

    def every(logits_BNV: jax.Array) -> _Extensions:
        parent_BN = jnp.broadcast_to(jnp.arange(beams, dtype=jnp.int32), (batch, beams))
        return _ranked(logits_BNV, parent_BN, jnp.zeros_like(parent_BN), scores_BN, normaliser_BN1, at_limit_B)

    size = block_size(vocabulary, 3)
    count = vocabulary // max(size, 1)

    def those_of_the_best_blocks(logits_BNV: jax.Array) -> _Extensions:
        """As `ops.top`: a CPU looks at each block's largest, then at the tokens of the best 2N blocks of a sentence.

        And at the first block of each hypothesis, which has no rank, for in it are the tokens that may be closed.
        """
        blocks = logits_BNV.reshape(batch, beams, count, size)
        best_BNC = _extended(jnp.max(blocks, axis=-1), scores_BN, normaliser_BN1)
        best_BNC = jnp.where(jnp.arange(count)[None, None] == 0, -jnp.inf, best_BNC)
        _, chosen_BM = jax.lax.top_k(best_BNC.reshape(batch, -1), 2 * beams)
        first_BN = jnp.broadcast_to(count * jnp.arange(beams, dtype=jnp.int32), (batch, beams))
        chosen_BM = jnp.sort(jnp.concatenate([first_BN, chosen_BM], axis=1), axis=1)
        of_sentence_B1 = beams * count * jnp.arange(batch, dtype=jnp.int32)[:, None]
        candidates = blocks.reshape(-1, size)[of_sentence_B1 + chosen_BM]
        parent_BM, token_BM = chosen_BM // count, chosen_BM % count * size
        return _ranked(candidates, parent_BM, token_BM, scores_BN, normaliser_BN1, at_limit_B)

    if not size:
        return every(logits_BNV)
    return jax.lax.platform_dependent(logits_BNV, cpu=those_of_the_best_blocks, default=every)


def _ranked(
    logits: jax.Array,
    parent_BG: jax.Array,
    first_BG: jax.Array,
    scores_BN: jax.Array,
    normaliser_BN1: jax.Array,
    at_limit_B: jax.Array,
) -> _Extensions:
    """The best of G groups of extensions of each sentence.

    Args:
      logits: [B, G, tokens].
      parent_BG: the hypothesis that a group extends.
      first_BG: its first token; the others follow.
      scores_BN: of the hypotheses.
      normaliser_BN1: of their logits.
      at_limit_B: of which sentences hypotheses can only end.
    """
    batch, _, size = logits.shape
    token = first_BG[..., None] + jnp.arange(size, dtype=jnp.int32)[None, None]
    closed = (token == PAD) | (token == BOS) | (at_limit_B[:, None, None] & (token != EOS))
    scores_BG = jnp.take_along_axis(scores_BN, parent_BG, axis=1)
    normaliser_BG1 = jnp.take_along_axis(normaliser_BN1, parent_BG[..., None], axis=1)
    scores = jnp.where(closed, LOWEST, _extended(logits, scores_BG, normaliser_BG1))
    scores_BM, index_BM = jax.lax.top_k(scores.reshape(batch, -1), 2 * scores_BN.shape[1])
    # Not before: XLA knows a `top_k` by what is cut out of a sort, and sorts where a part of that is cut out at once.
    scores_BM = jnp.maximum(scores_BM, LOWEST)
    group_BM = index_BM // size
    parent_BM, first_BM = (jnp.take_along_axis(each, group_BM, axis=1) for each in (parent_BG, first_BG))
    return _Extensions(scores_BM, parent_BM, first_BM + index_BM % size)


def _extended(logits: jax.Array, scores_BG: jax.Array, normaliser_BG1: jax.Array) -> jax.Array:
    """Scores of hypotheses with one token more, of these logits."""
    return scores_BG[..., None] + (logits - normaliser_BG1)


def _finish(loop: _Loop, extensions: _Extensions, penalty: jax.Array) -> Found:
    """Keeps the best of what was finished before and what ends now, where a sentence is not done."""
    beams = loop.finished.ranks_BN.shape[1]
    scores_BN, parent_BN = extensions.scores_BM[:, :beams], extensions.parent_BM[:, :beams]
    ends_BN = (extensions.token_BM[:, :beams] == EOS) & _exists(scores_BN) & ~loop.done_B[:, None]
    tokens_BNT = pick_beams(loop.live.tokens_BNT, parent_BN).at[:, :, loop.step].set(EOS)
    now = Found(tokens_BNT, scores_BN, jnp.where(ends_BN, scores_BN / penalty, LOWEST))
    both = jax.tree.map(lambda old, new: jnp.concatenate([old, new], axis=1), loop.finished, now)
    # Of equal ranks top_k takes the first: places that stay empty are old ones, never what does not end now.
    return pick_beams(both, jax.lax.top_k(both.ranks_BN, beams)[1])


def _continue(loop: _Loop, extensions: _Extensions) -> tuple[_Live, jax.Array]:
    """The next live hypotheses, and which of the present ones each extends."""
    beams = loop.live.scores_BN.shape[1]
    open_BM = jnp.where(extensions.token_BM == EOS, LOWEST, extensions.scores_BM)
    scores_BN, index_BN = jax.lax.top_k(open_BM, beams)
    parent_BN = jnp.take_along_axis(extensions.parent_BM, index_BN, axis=1)
    token_BN = jnp.take_along_axis(extensions.token_BM, index_BN, axis=1)
    tokens_BNT = pick_beams(loop.live.tokens_BNT, parent_BN).at[:, :, loop.step].set(token_BN)
    return _Live(tokens_BNT, token_BN, scores_BN), parent_BN
