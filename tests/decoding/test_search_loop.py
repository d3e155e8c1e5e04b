"""A search with pauses returns the same result as one without, and shows its best hypothesis so far."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.decoding import search_loop
from transformer.decoding.search import LOWEST, TracedDecodeSpec, build_loop, search
from transformer.spec import EOS, PAD


def count(compiled: Any) -> int:
    """Number of compiled programs."""
    return compiled._cache_size()


SENTENCES = [[3, 4, 5, EOS], [4, EOS], [6, 6, 3, 4, 5, EOS]]


@pytest.mark.parametrize("method", ["beam", "greedy", pytest.param("sample", marks=pytest.mark.slow)])
def test_pausing_does_not_change_the_result(markov, pad, make_spec, method):
    """With traced settings, one key per sentence, and a state whose leaves are all [B, ...]."""
    model, source_BS, spec = markov(5), jnp.asarray(pad(*SENTENCES, rows=4)), make_spec(method=method, temperature=0.7)
    keys_B = jax.vmap(jax.random.key)(jnp.full(4, 7, jnp.uint32))

    @jax.jit
    def start(source_BS):
        return search_loop.start(build_loop(model, source_BS, spec, keys_B))

    @jax.jit
    def resume(source_BS, state, until_B, temperature_B1, alpha):
        arrays = {"temperature": temperature_B1, "length_penalty": alpha}
        traced = TracedDecodeSpec(**(dataclasses.asdict(spec) | arrays))
        return search_loop.resume(build_loop(model, source_BS, traced, keys_B), state, until_B)

    progress, shown = start(source_BS), []
    assert {leaf.shape[0] for leaf in jax.tree.leaves(progress)} == {4}
    for until in range(2, 40, 2):
        progress = resume(source_BS, progress.state, jnp.full(4, until), jnp.full((4, 1), 0.7), jnp.float32(0.6))
        shown.append(np.asarray(progress.best_so_far_BT))
        if progress.done_B.all():
            break
    assert count(resume) == 1  # `start` returns the types that `resume` returns
    expected = jax.jit(lambda source_BS: search(model, source_BS, spec, jax.random.key(7)))(source_BS)
    np.testing.assert_array_equal(progress.result.tokens_BNT, expected.tokens_BNT)
    np.testing.assert_allclose(progress.result.scores_BN, expected.scores_BN, rtol=1e-6)
    np.testing.assert_array_equal(shown[-1], expected.tokens_BNT[:, 0])
    assert len(shown) > 1
    assert (shown[0][:3, 0] != PAD).all()
    assert (shown[0][:, 2:] == PAD).all()  # two steps, two tokens
    assert progress.done_B[3]  # a row of padding


def queue_of(pad, count: int, rows: int) -> jax.Array:
    """Different sentences, a row of padding after every fourth, and rows of padding at the end."""
    sentences = [[3 + number % 4, *[4, 6, 3][: number % 3], 5, EOS] for number in range(count)]
    for index in range(4, count, 5):
        sentences[index] = []
    return jnp.asarray(pad(*sentences, rows=rows))


@pytest.mark.parametrize(
    "method", ["beam", *(pytest.param(method, marks=pytest.mark.slow) for method in ("greedy", "sample"))]
)
@pytest.mark.parametrize("steps", [None, 4])
def test_a_queue_does_not_change_the_result(markov, pad, make_spec, monkeypatch, method, steps):
    """Also of sentences that need more steps than there are."""
    model, spec, source_BS = markov(5), make_spec(method=method), queue_of(pad, 17, 23)
    rows, step = [], type(model).step

    def recording(model, state, token_BN, position_B):
        rows.append(len(token_BN))
        return step(model, state, token_BN, position_B)

    monkeypatch.setattr(type(model), "step", recording)
    whole, queue = (
        jax.jit(lambda source_BS, rows=rows: search(model, source_BS, spec, steps=steps, rows=rows))(source_BS)
        for rows in (None, 5)
    )
    assert set(rows) == {23, 5}
    for one, other in zip(whole, queue, strict=True):
        np.testing.assert_array_equal(one, other)
    found = {int(row) for row in np.flatnonzero(whole.scores_BN[:, 0] > LOWEST)}
    sentences = set(range(17)) - {4, 9, 14}
    assert found == sentences if steps is None else 0 < len(found) < len(sentences)


def test_a_queue_keeps_its_rows_busy(markov, pad, make_spec):
    """The number of steps is less than that of one batch after the other; rows of padding at the end take none."""
    model, spec, counted = markov(5), make_spec(), []

    class Counting(type(model)):
        def step(self, state, token_BN, position_B):
            jax.debug.callback(lambda position_B: counted.append(len(position_B)), position_B)
            return super().step(state, token_BN, position_B)

    run = jax.jit(lambda source_BS, rows: search(Counting(model.table), source_BS, spec, rows=rows), static_argnums=1)

    def steps(source_BS, rows):
        counted.clear()
        jax.block_until_ready(run(source_BS, rows))
        jax.effects_barrier()
        return len(counted)

    queue = queue_of(pad, 30, 41)
    in_turn = [steps(queue[start : start + 5], 5) for start in range(0, 30, 5)]
    assert steps(queue, 5) < 0.8 * sum(in_turn)
    assert steps(queue, 5) == steps(queue[:30], 5)


@pytest.mark.parametrize(
    "method", ["beam", *(pytest.param(method, marks=pytest.mark.slow) for method in ("greedy", "sample"))]
)
def test_sentences_that_need_more_steps_have_no_result(markov, pad, make_spec, method):
    """All other results equal those of a search without a limit on steps."""
    model, spec = markov(5), make_spec(method=method)
    source_BS = jnp.asarray(pad(*[[3 + number % 4, *[4, 6, 3][: number % 3], 5, EOS] for number in range(9)], rows=11))
    full, limited = (
        jax.jit(lambda source_BS, steps=steps: search(model, source_BS, spec, steps=steps))(source_BS)
        for steps in (None, 4)
    )
    finished_B = np.asarray(limited.scores_BN[:, 0] > LOWEST)
    lengths_B = np.sum(np.asarray(full.tokens_BNT[:, 0]) != PAD, axis=1)
    assert 0 < finished_B.sum() < 9
    assert (lengths_B[finished_B] <= 4).all()
    if method != "beam":  # beam search may continue after it has found a good output
        assert (lengths_B[:9][~finished_B[:9]] > 4).all()
    np.testing.assert_array_equal(full.tokens_BNT[finished_B][..., :4], limited.tokens_BNT[finished_B])
    np.testing.assert_array_equal(full.scores_BN[finished_B], limited.scores_BN[finished_B])
    assert (np.asarray(limited.tokens_BNT)[~finished_B] == PAD).all()
    assert (np.asarray(limited.ranks_BN)[~finished_B] == LOWEST).all()


def test_the_result_of_a_sentence_that_is_done_does_not_change(markov, pad, make_spec):
    model, source_BS, spec = markov(5), jnp.asarray(pad(*SENTENCES, rows=4)), make_spec()
    loop = build_loop(model, source_BS, spec)
    step = jax.jit(lambda state, until_B: search_loop.resume(loop, state, until_B))
    progress, done = search_loop.start(loop), {}
    for until in range(1, 40):
        progress = step(progress.state, jnp.full(4, until))
        for row in np.flatnonzero(progress.done_B):
            tokens_NT = np.asarray(progress.result.tokens_BNT[row])
            np.testing.assert_array_equal(done.setdefault(row, (until, tokens_NT))[1], tokens_NT)
    assert len(done) == 4
    assert len({until for until, _ in done.values()}) > 1
