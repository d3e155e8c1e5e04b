"""A search in stages: begun, taken some steps further, looked at, and read in the end.

`run` goes through all of them in one compiled loop. `begin` and `go_on` make programs that stop in between, for who
wants to see an output as it is made; the steps are the same, and so is what is found.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from transformer.decoding.hypotheses import LOWEST, Found
from transformer.spec import PAD

_FEWEST = 8  # rows that are worth a program of their own
_NOTHING = (PAD, LOWEST, LOWEST)  # what places of `Found` hold that no output fills


class Stages(NamedTuple):
    """A search of some model for some sentences.

    Its state is a NamedTuple with, among others, `step` and `done_B`. All leaves but `step` are [B, ...], and what
    depends on the number of rows is in them, so that rows can be left out on the way.
    """

    begin: Callable[[], Any]  # the state before the first step
    advance: Callable[[Any], Any]  # a state one step further
    steps: int  # how many there is room for
    found: Callable[[Any], Found]  # what a state has found
    leading: Callable[[Any], jax.Array]  # tokens_BT of the hypothesis that leads, EOS where it has ended


class Progress(NamedTuple):
    """Where a search stands. Every leaf is [B, ...], so that devices can divide its rows."""

    state: Any  # what `go_on` goes on from
    leading_BT: jax.Array  # int32, the hypothesis that leads now; of a sentence that is done, the best output
    done_B: jax.Array  # bool; `found` changes no more
    found: Found


def run(stages: Stages, halvings: int = 0) -> Found:
    """The whole search.

    Args:
      stages: of it.
      halvings: how often, when half of the rows are done, the search goes on with the other half alone. Each makes the
        program longer by the body of a loop.
    """
    state = stages.begin()
    if not halvings:
        return _ended(stages, _until(stages, state, None))
    found, row_B = stages.found(state), jnp.arange(len(state.done_B))
    for _ in range(halvings):
        half = -(-len(row_B) // 2)
        if half < _FEWEST:
            break
        state = _while(stages, state, lambda state, half=half: jnp.sum(~state.done_B) > half)
        found = _put(found, row_B, _ended(stages, state))
        kept = jnp.argsort(state.done_B, stable=True)[:half]
        state = jax.tree.map(lambda leaf, kept=kept: leaf[kept], state._replace(step=()))._replace(step=state.step)
        row_B = row_B[kept]
    return _put(found, row_B, _ended(stages, _until(stages, state, None)))


def one_after_the_other(search: Callable[[jax.Array], Found], source_BS: jax.Array, rows: int) -> Found:
    """What `search` finds for each `rows` of a batch in turn; those that are PAD alone cost nothing.

    One program for many rows: devices that share them wait for each other at its end alone, and not after each search.
    """
    parts = source_BS.reshape(-1, rows, source_BS.shape[1])
    if len(parts) == 1:
        return search(source_BS)
    search = jax.jit(search)  # traced once for both its shapes and the loop
    shapes = jax.eval_shape(search, parts[0])

    def nothing(source_BS: jax.Array) -> Found:
        return Found(*(jnp.full(each.shape, empty, each.dtype) for each, empty in zip(shapes, _NOTHING, strict=True)))

    found = jax.lax.map(lambda part_BS: jax.lax.cond(jnp.any(part_BS != PAD), search, nothing, part_BS), parts)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found)


def _ended(stages: Stages, state: Any) -> Found:
    """What a state has found for the sentences that are done; nothing for others, which had no room."""
    tokens_BNT, *numbers_BN = stages.found(state)
    done_B1 = state.done_B[:, None]
    return Found(
        jnp.where(done_B1[..., None], tokens_BNT, PAD), *(jnp.where(done_B1, each, LOWEST) for each in numbers_BN)
    )


def _put(whole: Found, row_B: jax.Array, part: Found) -> Found:
    return jax.tree.map(lambda old, new: old.at[row_B].set(new), whole, part)


def begin(stages: Stages) -> Progress:
    """Before the first step."""
    return _progress(stages, stages.begin())


def go_on(stages: Stages, state: Any, until_B: jax.Array) -> Progress:
    """From `Progress.state` to step number `until_B`, which is the same for all rows, or to the end."""
    return _progress(stages, _until(stages, state._replace(step=state.step[0]), until_B[0]))


def _until(stages: Stages, state: Any, last: jax.Array | None) -> Any:
    def goes_on(state: Any) -> jax.Array:
        unfinished = jnp.any(~state.done_B)
        return unfinished if last is None else unfinished & (state.step < last)

    return _while(stages, state, goes_on)


def _while(stages: Stages, state: Any, goes_on: Callable[[Any], jax.Array]) -> Any:
    return jax.lax.while_loop(lambda state: goes_on(state) & (state.step < stages.steps), stages.advance, state)


def _progress(stages: Stages, state: Any) -> Progress:
    # Types as the loop leaves them, also before its first round: else going on would be compiled twice.
    state = jax.tree.map(lambda leaf: leaf.astype(leaf.dtype), state)
    found = stages.found(state)
    leading_BT = jnp.where(state.done_B[:, None], found.tokens_BNT[:, 0], stages.leading(state))
    return Progress(state._replace(step=jnp.full(len(state.done_B), state.step)), leading_BT, state.done_B, found)
