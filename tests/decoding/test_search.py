"""Properties of every method: correct scores, limits, and independence of the other rows."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.decoding.search import LOWEST, search
from transformer.models.interface import DecodeState
from transformer.ops.masks import at_position
from transformer.spec import BOS, EOS, PAD

METHODS = ("beam", "greedy", "sample")


class Uncached(NamedTuple):
    """A model without a cache: each step decodes all tokens so far."""

    model: Any

    def encode(self, source_BS, dropout=None):
        return self.model.encode(source_BS)

    def decode(self, memory, target_BT, dropout=None):
        return self.model.decode(memory, target_BT)

    def logits(self, hidden_D):
        return self.model.logits(hidden_D)

    def start(self, memory, beams, max_length):
        tokens_BNT = jnp.full((memory.mask_BS.shape[0], beams, max_length), PAD, jnp.int32)
        return DecodeState(memory, tokens_BNT)

    def step(self, state, token_BN, position_B):
        new_B1T = at_position(position_B, state.per_beam.shape[-1])[:, None]
        tokens_BNT = jnp.where(new_B1T, token_BN[..., None], state.per_beam)
        hidden_BNTD = jax.vmap(self.model.decode, (None, 1), 1)(state.encoder_side, tokens_BNT).hidden_BTD
        hidden_BND = jnp.take_along_axis(hidden_BNTD, position_B[:, None, None, None], axis=2, mode="clip")[:, :, 0]
        return self.model.logits(hidden_BND), DecodeState(state.encoder_side, tokens_BNT)


@pytest.fixture
def sentences():
    generator = np.random.default_rng(5)
    return [[*generator.integers(3, 7, generator.integers(1, 7)).tolist(), EOS] for _ in range(64)]


@pytest.mark.parametrize("method", ["beam", "greedy"])  # sampling differs from greedy search only in the choice
def test_cached_equals_uncached(markov, pad, run_search, sentences, method):
    source_BS = pad(*sentences)
    cached, uncached = (run_search(model, source_BS, method=method) for model in (markov(3), Uncached(markov(3))))
    np.testing.assert_array_equal(cached.tokens_BNT, uncached.tokens_BNT)
    np.testing.assert_allclose(cached.scores_BN, uncached.scores_BN, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_score_is_the_teacher_forced_log_probability(markov, pad, run_search, teacher_forced, sentences, method):
    model, source_BS = markov(4), pad(*sentences)
    result = run_search(model, source_BS, method=method, temperature={"sample": 1.9}.get(method, 1.0))
    assert (result.scores_BN > LOWEST).all()
    np.testing.assert_allclose(result.scores_BN, teacher_forced(model, source_BS, result.tokens_BNT), rtol=1e-5)
    length_BN = (result.tokens_BNT != PAD).sum(axis=2)
    np.testing.assert_allclose(result.ranks_BN, result.scores_BN / ((5 + length_BN) / 6) ** 0.6, rtol=1e-5)
    assert (np.diff(result.ranks_BN, axis=1) <= 0).all()


@pytest.mark.parametrize("method", ["greedy", "sample"])
def test_a_prefix_is_followed_and_counts_in_the_score(markov, pad, run_search, teacher_forced, sentences, method):
    model, source_BS = markov(4), pad(*sentences)
    prefix_BT = np.tile([[5, 3, PAD, PAD]], (64, 1)).astype(np.int32)
    prefix_BT[1] = PAD
    result = run_search(model, source_BS, method=method, prefix_BT=prefix_BT)
    plain = run_search(model, source_BS, method=method)
    assert (np.delete(result.tokens_BNT[:, 0, :2], 1, axis=0) == [5, 3]).all()
    np.testing.assert_array_equal(result.tokens_BNT[1, :, :12], plain.tokens_BNT[1])  # a row without a prefix
    np.testing.assert_allclose(result.scores_BN, teacher_forced(model, source_BS, result.tokens_BNT), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_results_do_not_depend_on_batch_order_or_padding(markov, pad, run_search, sentences, method):
    """A chain's logits are looked up, not computed. So results are equal bit for bit."""
    model = markov(5, sharpness=1.0)
    model = type(model)(model.table.at[..., EOS].add(-2.0))
    batch = run_search(model, pad(*sentences), method=method)
    assert len(np.unique(batch.tokens_BNT[:, 0], axis=0)) > 20  # outputs differ between sentences
    order = np.random.default_rng(0).permutation(64)
    shuffled = run_search(model, pad(*sentences)[order], method=method)
    wider = run_search(model, pad(*sentences, width=11), method=method)
    for row in range(3):
        single = run_search(model, pad(sentences[row], rows=1), method=method)
        for one, all_ in zip(single, batch, strict=True):
            np.testing.assert_array_equal(one[0], all_[row])
    for mixed, straight in zip(shuffled, batch, strict=True):
        np.testing.assert_array_equal(mixed, straight[order])
    np.testing.assert_array_equal(wider.tokens_BNT[..., :12], batch.tokens_BNT)
    assert (wider.tokens_BNT[..., 12:] == PAD).all()
    np.testing.assert_array_equal(wider.scores_BN, batch.scores_BN)
    np.testing.assert_array_equal(wider.ranks_BN, batch.ranks_BN)


@pytest.mark.parametrize("method", METHODS)
def test_an_output_is_words_then_eos_then_padding(markov, pad, run_search, sentences, method):
    """PAD and BOS have the largest logits of this model, and EOS the lowest."""
    model = markov(6)
    table = model.table.at[..., PAD].add(9.0).at[..., BOS].add(9.0).at[..., EOS].add(-4.0)
    result = run_search(type(model)(table), pad(*sentences), method=method)
    length_BN = (result.tokens_BNT != PAD).sum(axis=2)
    limit_B = np.array([len(sentence) - 1 + 5 for sentence in sentences])
    assert (length_BN <= limit_B[:, None] + 1).all()
    assert (length_BN[:, 0] == limit_B + 1).any()  # some reached the limit ...
    assert (result.tokens_BNT != BOS).all()
    ends_BNT = result.tokens_BNT == EOS
    assert (ends_BNT.sum(axis=2) == 1).all()  # ... and each output has one EOS,
    assert (ends_BNT.argmax(axis=2) == length_BN - 1).all()  # which is its last token


@pytest.mark.parametrize("method", ["beam", "greedy"])
def test_the_number_of_steps_is_that_of_the_longest_sentence(markov, pad, method, make_spec):
    """None for rows of padding; otherwise the tokens of the longest output, in beam search a few more."""
    steps = []

    class Counting(Uncached):
        def step(self, state, token_BN, position_B):
            jax.debug.callback(lambda position_B: steps.append(int(max(position_B))), position_B)
            return self.model.step(state, token_BN, position_B)

        def start(self, memory, beams, max_length):
            return self.model.start(memory, beams, max_length)

    compiled = jax.jit(lambda source_BS: search(Counting(markov(7)), source_BS, make_spec(method=method)))
    fill = compiled(pad(rows=2, width=5))
    jax.effects_barrier()
    assert steps == []
    assert (np.asarray(fill.tokens_BNT) == PAD).all()
    assert (np.asarray(fill.scores_BN) == LOWEST).all()
    assert (np.asarray(fill.ranks_BN) == LOWEST).all()
    one = compiled(pad([4, EOS], rows=2, width=5))
    jax.effects_barrier()
    longest = int((np.asarray(one.tokens_BNT) != PAD).sum(axis=2).max())
    assert sorted(steps) == list(range(len(steps)))
    assert longest <= len(steps) <= 7
    assert method == "beam" or len(steps) == longest


def test_a_score_of_minus_infinity_stays_finite(markov, pad, run_search):
    model = markov(8)
    table = model.table.at[..., 3].set(-jnp.inf).at[..., EOS].set(-jnp.inf)
    for method in METHODS:
        result = run_search(type(model)(table), pad([4, EOS]), method=method)
        assert all(np.isfinite(leaf).all() for leaf in result)
        assert 3 not in result.tokens_BNT


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("first", [0, 2])
def test_logits_that_are_nan_leave_no_hypothesis(markov, pad, run_search, method, first):
    """From step `first` on, one sentence has NaN logits; the others are not affected."""
    model, source_BS = markov(7, sharpness=0.5), pad([3, 4, EOS], [4, 3, EOS])
    model = type(model)(model.table.at[..., EOS].add(-30.0))  # no hypothesis ends before the limit of length
    finite = run_search(model, source_BS, method=method)
    kind = (source_BS[0] * np.arange(1, 8)).sum() % 31
    result = run_search(type(model)(model.table.at[kind, first:].set(jnp.nan)), source_BS, method=method)
    assert (result.tokens_BNT[0] == PAD).all()
    assert (result.scores_BN[0] == LOWEST).all()
    assert (result.ranks_BN[0] == LOWEST).all()
    for expected, actual in zip(finite, result, strict=True):
        np.testing.assert_array_equal(actual[1], expected[1])


def test_beam_search_continues_without_the_hypotheses_whose_logits_are_nan(markov, pad, run_search):
    model = markov(7)
    result = run_search(type(model)(model.table.at[:, :, :, 5].set(jnp.nan)), pad([3, 4, EOS], [4, 3, EOS]))
    assert (result.scores_BN[:2] > LOWEST / 2).all()
    assert all(
        5 not in tokens_T[: length - 1]
        for tokens_NT in result.tokens_BNT[:2]
        for tokens_T in tokens_NT
        for length in [(tokens_T != PAD).sum()]
    )
