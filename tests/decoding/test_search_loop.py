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


@pytest.mark.parametrize(
    "method", ["beam", *(pytest.param(method, marks=pytest.mark.slow) for method in ("greedy", "sample"))]
)
def test_compaction_does_not_change_the_result(markov, pad, make_spec, monkeypatch, method):
    """Including an odd number of rows, and rows of padding, which are done before the first step."""
    monkeypatch.setattr(search_loop, "_MIN_ROWS", 2)
    model, spec = markov(5), make_spec(method=method)
    sentences = [[3 + number % 4, *[4, 6, 3][: number % 3], 5, EOS] for number in range(9)]
    source_BS = jnp.asarray(pad(*sentences, rows=11))
    rows, step = [], type(model).step

    def recording(model, state, token_BN, position):
        rows.append(len(token_BN))
        return step(model, state, token_BN, position)

    monkeypatch.setattr(type(model), "step", recording)
    plain, compacted = (
        jax.jit(lambda source_BS, count=compactions: search(model, source_BS, spec, compactions=count))(source_BS)
        for compactions in (0, 2)
    )
    assert sorted(set(rows)) == [3, 6, 11]
    for one, other in zip(plain, compacted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (plain.tokens_BNT[:9, 0, 0] != PAD).all()


@pytest.mark.parametrize(
    ("method", "compactions"),
    [
        ("beam", 0),
        ("greedy", 2),
        *(
            pytest.param(method, compactions, marks=pytest.mark.slow)
            for method, compactions in (("beam", 2), ("greedy", 0), ("sample", 0), ("sample", 2))
        ),
    ],
)
def test_sentences_that_need_more_steps_have_no_result(markov, pad, make_spec, monkeypatch, method, compactions):
    """All other results equal those of a search without a limit on steps."""
    monkeypatch.setattr(search_loop, "_MIN_ROWS", 2)
    model, spec = markov(5), make_spec(method=method)
    source_BS = jnp.asarray(pad(*[[3 + number % 4, *[4, 6, 3][: number % 3], 5, EOS] for number in range(9)], rows=11))
    full, limited = (
        jax.jit(lambda source_BS, steps=steps: search(model, source_BS, spec, steps=steps, compactions=compactions))(
            source_BS
        )
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


@pytest.mark.parametrize("method", ["beam", pytest.param("greedy", marks=pytest.mark.slow)])
def test_map_sequentially_equals_one_batch(markov, pad, make_spec, method):
    """Chunks of only padding are not searched."""
    model, spec, searched = markov(5), make_spec(method=method), []
    sentences = [[3 + number % 4, *[4, 6, 3][: number % 3], 5, EOS] for number in range(5)]
    source_BS = jnp.asarray(pad(*sentences, rows=9))

    def recording(source_BS):
        jax.debug.callback(lambda source_BS: searched.append(int((source_BS != PAD).any(1).sum())), source_BS)
        return search(model, source_BS, spec)

    joint = jax.jit(recording)(source_BS)
    jax.effects_barrier()
    sequential = jax.jit(lambda source_BS: search_loop.map_sequentially(recording, source_BS, 3))(source_BS)
    jax.effects_barrier()
    assert searched == [5, 3, 2]
    for one, other in zip(joint, sequential, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (joint.tokens_BNT[:5, 0, 0] != PAD).all()


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
