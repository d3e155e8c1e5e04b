"""The loop of a search, separate from its method: run to the end, or start, pause and resume.

`run` is one compiled loop. `start` and `resume` make programs that stop in between, for callers that stream partial
outputs. Both take the same steps and return the same result.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from transformer.decoding.hypotheses import LOWEST, SearchResult
from transformer.spec import PAD

_MIN_ROWS = 8  # fewer rows are not worth another loop in the program
_EMPTY = (PAD, LOWEST, LOWEST)  # the fields of a `SearchResult` entry without a hypothesis


class SearchLoop(NamedTuple):
    """A search with some model for some sentences.

    Its state is a NamedTuple with at least `step` and `done_B`. All leaves but `step` are [B, ...] and hold everything
    that depends on the number of rows, so that rows can be removed during the search.
    """

    initial_state: Callable[[], Any]  # the state before the first step
    advance: Callable[[Any], Any]  # one step: state to state
    max_steps: int
    result: Callable[[Any], SearchResult]  # the result so far
    best_so_far: Callable[[Any], jax.Array]  # tokens_BT of the best hypothesis, with EOS if it has ended


class SearchProgress(NamedTuple):
    """A paused search. Every leaf is [B, ...], so that devices can shard the rows."""

    state: Any  # the argument of `resume`
    best_so_far_BT: jax.Array  # int32, the best hypothesis at present; for a sentence that is done, the best output
    done_B: jax.Array  # bool; where True, `result` does not change any more
    result: SearchResult


def run(loop: SearchLoop, compactions: int = 0) -> SearchResult:
    """Runs a search to the end.

    Args:
      loop: the search.
      compactions: how often, when half of the rows are done, the search continues with the other half only. Each
        adds the body of a loop to the program.
    """
    state = loop.initial_state()
    if not compactions:
        return _finished_only(loop, _run_until(loop, state, None))
    result, row_B = loop.result(state), jnp.arange(len(state.done_B))
    for _ in range(compactions):
        half = -(-len(row_B) // 2)
        if half < _MIN_ROWS:
            break
        state = _while(loop, state, lambda state, half=half: jnp.sum(~state.done_B) > half)
        result = _scatter_rows(result, row_B, _finished_only(loop, state))
        remaining = jnp.argsort(state.done_B, stable=True)[:half]
        rows = state._replace(step=())
        state = jax.tree.map(lambda leaf, remaining=remaining: leaf[remaining], rows)._replace(step=state.step)
        row_B = row_B[remaining]
    return _scatter_rows(result, row_B, _finished_only(loop, _run_until(loop, state, None)))


def map_sequentially(
    search: Callable[..., SearchResult], source_BS: jax.Array, rows: int, *arrays: jax.Array
) -> SearchResult:
    """Applies `search` to a batch, `rows` rows after the other; chunks of only PAD cost nothing.

    The complete batch is one program. Devices that share its rows synchronise once at its end instead of after each
    search.

    Args:
      search: function of source_BS and `arrays`.
      source_BS: the batch.
      rows: rows of a chunk.
      arrays: other arguments of `search`, [B, ...].
    """
    chunks = tuple(array.reshape(-1, rows, *array.shape[1:]) for array in (source_BS, *arrays))
    if len(chunks[0]) == 1:
        return search(source_BS, *arrays)
    search = jax.jit(search)  # traced once for both `eval_shape` and the loop
    shapes = jax.eval_shape(search, *(chunk[0] for chunk in chunks))

    def empty_result(*arrays: jax.Array) -> SearchResult:
        return SearchResult(*(jnp.full(s.shape, fill, s.dtype) for s, fill in zip(shapes, _EMPTY, strict=True)))

    results = jax.lax.map(lambda chunk: jax.lax.cond(jnp.any(chunk[0] != PAD), search, empty_result, *chunk), chunks)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), results)


def _finished_only(loop: SearchLoop, state: Any) -> SearchResult:
    """The result for sentences that are done; empty entries for the others, which ran out of steps."""
    tokens_BNT, scores_BN, ranks_BN = loop.result(state)
    done_B1 = state.done_B[:, None]
    return SearchResult(
        jnp.where(done_B1[..., None], tokens_BNT, PAD),
        jnp.where(done_B1, scores_BN, LOWEST),
        jnp.where(done_B1, ranks_BN, LOWEST),
    )


def _scatter_rows(result: SearchResult, row_B: jax.Array, update: SearchResult) -> SearchResult:
    return jax.tree.map(lambda old, new: old.at[row_B].set(new), result, update)


def start(loop: SearchLoop) -> SearchProgress:
    """Returns the search before its first step."""
    return _progress(loop, loop.initial_state())


def resume(loop: SearchLoop, state: Any, until_B: jax.Array) -> SearchProgress:
    """Continues from `SearchProgress.state` to step `until_B`, equal in all rows, or to the end."""
    return _progress(loop, _run_until(loop, state._replace(step=state.step[0]), until_B[0]))


def _run_until(loop: SearchLoop, state: Any, last: jax.Array | None) -> Any:
    def unfinished(state: Any) -> jax.Array:
        any_left = jnp.any(~state.done_B)
        return any_left if last is None else any_left & (state.step < last)

    return _while(loop, state, unfinished)


def _while(loop: SearchLoop, state: Any, condition: Callable[[Any], jax.Array]) -> Any:
    return jax.lax.while_loop(lambda state: condition(state) & (state.step < loop.max_steps), loop.advance, state)


def _progress(loop: SearchLoop, state: Any) -> SearchProgress:
    # Before the first step, cast leaves to the (strong) types that the loop returns. Otherwise `resume` compiles twice.
    state = jax.tree.map(lambda leaf: leaf.astype(leaf.dtype), state)
    result = loop.result(state)
    best_so_far_BT = jnp.where(state.done_B[:, None], result.tokens_BNT[:, 0], loop.best_so_far(state))
    state_B = state._replace(step=jnp.full(len(state.done_B), state.step))
    return SearchProgress(state_B, best_so_far_BT, state.done_B, result)
