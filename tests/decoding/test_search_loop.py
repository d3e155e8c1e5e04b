"""A search that stops on its way finds what one that does not stop finds, and shows what it is at."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.decoding import search_loop
from transformer.decoding.search import LOWEST, Traced, search
from transformer.decoding.search import stages as search_stages
from transformer.spec import EOS, PAD


def count(compiled: Any) -> int:
    """How many programs there are."""
    return compiled._cache_size()


SENTENCES = [[3, 4, 5, EOS], [4, EOS], [6, 6, 3, 4, 5, EOS]]


@pytest.mark.parametrize("method", ["beam", "greedy", "sample"])
def test_with_pauses_it_finds_the_same(markov, pad, make_spec, method):
    """With numbers that are traced, a key for each sentence, and all that is carried divided by rows."""
    model, source_BS, spec = markov(5), jnp.asarray(pad(*SENTENCES, rows=4)), make_spec(method=method, temperature=0.7)
    keys_B = jax.vmap(jax.random.key)(jnp.full(4, 7, jnp.uint32))

    @jax.jit
    def begin(source_BS):
        return search_loop.begin(search_stages(model, source_BS, spec, keys_B))

    @jax.jit
    def go_on(source_BS, state, until_B, temperature_B1, alpha):
        numbers = {"temperature": temperature_B1, "length_penalty": alpha}
        traced = Traced(**(dataclasses.asdict(spec) | numbers))
        return search_loop.go_on(search_stages(model, source_BS, traced, keys_B), state, until_B)

    progress, shown = begin(source_BS), []
    assert {leaf.shape[0] for leaf in jax.tree.leaves(progress)} == {4}
    for until in range(2, 40, 2):
        progress = go_on(source_BS, progress.state, jnp.full(4, until), jnp.full((4, 1), 0.7), jnp.float32(0.6))
        shown.append(np.asarray(progress.leading_BT))
        if progress.done_B.all():
            break
    assert count(go_on) == 1  # what begins has the types of what goes on
    whole = jax.jit(lambda source_BS: search(model, source_BS, spec, jax.random.key(7)))(source_BS)
    np.testing.assert_array_equal(progress.found.tokens_BNT, whole.tokens_BNT)
    np.testing.assert_allclose(progress.found.scores_BN, whole.scores_BN, rtol=1e-6)
    np.testing.assert_array_equal(shown[-1], whole.tokens_BNT[:, 0])
    assert len(shown) > 1
    assert (shown[0][:3, 0] != PAD).all()
    assert (shown[0][:, 2:] == PAD).all()  # two steps, two tokens
    assert progress.done_B[3]  # of padding


@pytest.mark.parametrize("method", ["beam", "greedy", "sample"])
def test_when_done_rows_leave_it_finds_the_same(markov, pad, make_spec, monkeypatch, method):
    """Also with an odd number of rows, and with rows of padding, which are done before the first step."""
    monkeypatch.setattr(search_loop, "_FEWEST", 2)
    model, spec = markov(5), make_spec(method=method)
    sentences = [[3 + number % 4, *[4, 6, 3][: number % 3], 5, EOS] for number in range(9)]
    source_BS = jnp.asarray(pad(*sentences, rows=11))
    left, step = [], type(model).step

    def noted(model, state, token_BN, position):
        left.append(len(token_BN))
        return step(model, state, token_BN, position)

    monkeypatch.setattr(type(model), "step", noted)
    whole, halved = (
        jax.jit(lambda source_BS, halvings=halvings: search(model, source_BS, spec, halvings=halvings))(source_BS)
        for halvings in (0, 2)
    )
    assert sorted(set(left)) == [3, 6, 11]
    for one, other in zip(whole, halved, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (whole.tokens_BNT[:9, 0, 0] != PAD).all()


@pytest.mark.parametrize("method", ["beam", "greedy", "sample"])
@pytest.mark.parametrize("halvings", [0, 2])
def test_what_needs_more_steps_is_not_found(markov, pad, make_spec, monkeypatch, method, halvings):
    """And what is found is what a search with all the room finds."""
    monkeypatch.setattr(search_loop, "_FEWEST", 2)
    model, spec = markov(5), make_spec(method=method)
    source_BS = jnp.asarray(pad(*[[3 + number % 4, *[4, 6, 3][: number % 3], 5, EOS] for number in range(9)], rows=11))
    whole, brief = (
        jax.jit(lambda source_BS, steps=steps: search(model, source_BS, spec, steps=steps, halvings=halvings))(
            source_BS
        )
        for steps in (None, 4)
    )
    found_B = np.asarray(brief.scores_BN[:, 0] > LOWEST)
    lengths_B = np.sum(np.asarray(whole.tokens_BNT[:, 0]) != PAD, axis=1)
    assert 0 < found_B.sum() < 9
    assert (lengths_B[found_B] <= 4).all()
    if method != "beam":  # which may search on with a good output in hand
        assert (lengths_B[:9][~found_B[:9]] > 4).all()
    np.testing.assert_array_equal(whole.tokens_BNT[found_B][..., :4], brief.tokens_BNT[found_B])
    np.testing.assert_array_equal(whole.scores_BN[found_B], brief.scores_BN[found_B])
    assert (np.asarray(brief.tokens_BNT)[~found_B] == PAD).all()
    assert (np.asarray(brief.ranks_BN)[~found_B] == LOWEST).all()


@pytest.mark.parametrize("method", ["beam", "greedy"])
def test_batches_one_after_the_other_find_what_one_batch_finds(markov, pad, make_spec, method):
    """Without a step for what is nothing but padding."""
    model, spec, searched = markov(5), make_spec(method=method), []
    sentences = [[3 + number % 4, *[4, 6, 3][: number % 3], 5, EOS] for number in range(5)]
    source_BS = jnp.asarray(pad(*sentences, rows=9))

    def noted(source_BS):
        jax.debug.callback(lambda source_BS: searched.append(int((source_BS != PAD).any(1).sum())), source_BS)
        return search(model, source_BS, spec)

    at_once = jax.jit(noted)(source_BS)
    jax.effects_barrier()
    in_turn = jax.jit(lambda source_BS: search_loop.one_after_the_other(noted, source_BS, 3))(source_BS)
    jax.effects_barrier()
    assert searched == [5, 3, 2]
    for one, other in zip(at_once, in_turn, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (at_once.tokens_BNT[:5, 0, 0] != PAD).all()


def test_what_is_done_changes_no_more(markov, pad, make_spec):
    model, source_BS, spec = markov(5), jnp.asarray(pad(*SENTENCES, rows=4)), make_spec()
    parts = search_stages(model, source_BS, spec)
    step = jax.jit(lambda state, until_B: search_loop.go_on(parts, state, until_B))
    progress, done = search_loop.begin(parts), {}
    for until in range(1, 40):
        progress = step(progress.state, jnp.full(4, until))
        for row in np.flatnonzero(progress.done_B):
            now = np.asarray(progress.found.tokens_BNT[row])
            np.testing.assert_array_equal(done.setdefault(row, (until, now))[1], now)
    assert len(done) == 4
    assert len({until for until, _ in done.values()}) > 1
