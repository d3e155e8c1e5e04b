"""The loop of a search, separate from its method: run to the end, or start, pause and resume.

`run` and `run_queue` are one compiled loop. `start` and `resume` make programs that stop in between, for callers that
stream partial outputs. All take the same steps and return the same result.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from transformer.decoding.hypotheses import LOWEST, SearchResult
from transformer.spec import PAD

_REFILLS = 4  # a queue is refilled when a quarter of its rows is free: each refill takes time of its own
_EMPTY = (PAD, LOWEST, LOWEST)  # the fields of a `SearchResult` entry without a hypothesis


class SearchLoop(NamedTuple):
    """A search with some model for some sentences.

    Its state is a NamedTuple with at least `step_B`, the number of steps of each sentence, and `done_B`. All leaves are
    [B, ...] and hold everything that depends on the number of rows, so that a row can be replaced during the search.
    """

    initial_state: Callable[[], Any]  # the state before the first step
    advance: Callable[[Any], Any]  # one step: state to state; the loop itself counts `step_B`
    max_steps: int
    result: Callable[[Any], SearchResult]  # the result so far
    best_so_far: Callable[[Any], jax.Array]  # tokens_BT of the best hypothesis, with EOS if it has ended


class SearchProgress(NamedTuple):
    """A paused search. Every leaf is [B, ...], so that devices can shard the rows."""

    state: Any  # the argument of `resume`
    best_so_far_BT: jax.Array  # int32, the best hypothesis at present; for a sentence that is done, the best output
    done_B: jax.Array  # bool; where True, `result` does not change any more
    result: SearchResult


def run(loop: SearchLoop) -> SearchResult:
    """Runs a search to the end."""
    return _finished_only(loop, _while(loop, loop.initial_state(), jnp.any))


class _Queue(NamedTuple):
    """A search of many sentences. Its state has the rows that are searched at present."""

    state: Any
    row_B: jax.Array  # the sentence of each row
    next: jax.Array  # the first sentence that is still waiting
    result: SearchResult  # of all sentences


def run_queue(build: Callable[..., SearchLoop], source_BS: jax.Array, rows: int, *arrays: jax.Array) -> SearchResult:
    """Runs a search of many sentences, `rows` at a time: the next sentences take the rows of those that are done.

    The rows are busy until the queue is empty. Sentences of about the same length take about the same number of steps,
    so the longest should be first. Rows of only PAD at the end cost nothing.

    Args:
      build: builds the search of sentences and `arrays`.
      source_BS: the sentences.
      rows: number of sentences that are searched at a time.
      arrays: other arguments of `build`, [B, ...].
    """
    arrays, batch = (source_BS, *arrays), len(source_BS)
    if batch <= rows:
        return run(build(*arrays))
    refill = -(-rows // _REFILLS)
    arrays = tuple(jnp.pad(array, [(0, refill), *[(0, 0)] * (array.ndim - 1)], constant_values=PAD) for array in arrays)
    loop = build(*(array[:rows] for array in arrays))
    sentences = 1 + jnp.max(jnp.where(jnp.any(source_BS != PAD, axis=1), jnp.arange(batch), -1))

    def is_unfinished(queue: _Queue) -> jax.Array:
        return (queue.next < sentences) | jnp.any(_is_active(loop, queue.state))

    def advance_and_refill(queue: _Queue) -> _Queue:
        # When no sentence is waiting, all rows run to the end, and the refill adds rows of PAD.
        least = jnp.where(queue.next < sentences, rows - refill, 0)
        state = _while(loop, queue.state, lambda active_B: jnp.sum(active_B) > least)
        finished = _finished_only(loop, state)
        result = jax.tree.map(lambda old, new: old.at[queue.row_B].set(new), queue.result, finished)
        free = jnp.argsort(_is_active(loop, state), stable=True)[:refill]
        new = build(*(jax.lax.dynamic_slice_in_dim(array, queue.next, refill) for array in arrays)).initial_state()
        state = jax.tree.map(lambda old, new: old.at[free].set(new), state, new)
        row_B = queue.row_B.at[free].set(queue.next + jnp.arange(refill))
        return _Queue(state, row_B, queue.next + refill, result)

    state = _strongly_typed(loop.initial_state())
    shapes = jax.eval_shape(loop.result, state)
    result = SearchResult(
        *(jnp.full((batch + refill, *s.shape[1:]), fill, s.dtype) for s, fill in zip(shapes, _EMPTY, strict=True))
    )
    queue = _Queue(state, jnp.arange(rows), jnp.asarray(rows, jnp.int32), result)
    queue = jax.lax.while_loop(is_unfinished, advance_and_refill, queue)
    return jax.tree.map(lambda leaf: leaf[:batch], queue.result)


def start(loop: SearchLoop) -> SearchProgress:
    """Returns the search before its first step."""
    return _progress(loop, _strongly_typed(loop.initial_state()))


def resume(loop: SearchLoop, state: Any, until_B: jax.Array) -> SearchProgress:
    """Continues from `SearchProgress.state` to step `until_B`, or to the end."""
    return _progress(loop, _while(loop, state, jnp.any, until_B))


def _is_active(loop: SearchLoop, state: Any) -> jax.Array:
    """Returns bool [B]: whether a sentence is not done and has steps left."""
    return ~state.done_B & (state.step_B < loop.max_steps)


def _while(
    loop: SearchLoop, state: Any, condition: Callable[[jax.Array], jax.Array], until_B: jax.Array | None = None
) -> Any:
    """Advances the active sentences, while `condition` holds for them; those at step `until_B` are not active."""

    def active(state: Any) -> jax.Array:
        active_B = _is_active(loop, state)
        return active_B if until_B is None else active_B & (state.step_B < until_B)

    def advance(state: Any) -> Any:
        active_B, new = _is_active(loop, state), loop.advance(state)
        # A sentence without steps left has no output, whatever the step made of it.
        return new._replace(step_B=state.step_B + active_B, done_B=state.done_B | (new.done_B & active_B))

    return jax.lax.while_loop(lambda state: condition(active(state)), advance, state)


def _finished_only(loop: SearchLoop, state: Any) -> SearchResult:
    """The result for sentences that are done; empty entries for the others, which ran out of steps."""
    tokens_BNT, scores_BN, ranks_BN = loop.result(state)
    done_B1 = state.done_B[:, None]
    return SearchResult(
        jnp.where(done_B1[..., None], tokens_BNT, PAD),
        jnp.where(done_B1, scores_BN, LOWEST),
        jnp.where(done_B1, ranks_BN, LOWEST),
    )


def _strongly_typed(state: Any) -> Any:
    """Casts leaves to the types that a step returns. Otherwise `resume` would compile twice."""
    return jax.tree.map(lambda leaf: leaf.astype(leaf.dtype), state)


def _progress(loop: SearchLoop, state: Any) -> SearchProgress:
    result = loop.result(state)
    best_so_far_BT = jnp.where(state.done_B[:, None], result.tokens_BNT[:, 0], loop.best_so_far(state))
    return SearchProgress(state, best_so_far_BT, state.done_B, result)
