"""Beam search against all possible outputs, and against a plain Python search of a single sentence."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.decoding import beam
from transformer.decoding.hypotheses import LOWEST
from transformer.ops.topk import block_size
from transformer.spec import BOS, EOS, PAD

WORDS = (3, 4, 5, 6)  # tokens that an output may contain, in addition to EOS


class Chain:
    """The log-probabilities of one source sentence, read from the model's table."""

    def __init__(self, model, sentence):
        logits = np.asarray(model.table, np.float64)
        logits = logits[sum((place + 1) * token for place, token in enumerate(sentence)) % len(logits)]
        self.logp = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))

    def extend(self, tokens, score, token):
        before, last = ([BOS, BOS, *tokens])[-2:]
        return score + self.logp[len(tokens) % len(self.logp), before, last, token]


def rank(score, length, alpha):
    return score / ((5 + length) / 6) ** alpha


def every_output(chain, limit, alpha):
    """(rank, score, tokens) of all outputs of at most `limit` words, best first."""
    outputs = []
    for length in range(limit + 1):
        for words in itertools.product(WORDS, repeat=length):
            score = 0.0
            for place, token in enumerate([*words, EOS]):
                score = chain.extend(words[:place], score, token)
            outputs.append((rank(score, length + 1, alpha), score, (*words, EOS)))
    return sorted(outputs, reverse=True)


def plain_beam_search(chain, limit, beams, alpha, prefix=()):
    """The search that transformer/decoding/beam.py describes, with lists."""
    live, finished = [(0.0, ())], []
    for step in range(limit + 1):
        choices = (EOS,) if step == limit else (EOS, *WORDS)
        choices = (prefix[step],) if step < len(prefix) else choices
        extended = [(chain.extend(tokens, score, t), (*tokens, t)) for score, tokens in live for t in choices]
        extended.sort(reverse=True)
        finished += [(rank(s, step + 1, alpha), s, tokens) for s, tokens in extended[:beams] if tokens[-1] == EOS]
        finished = sorted(finished, reverse=True)[:beams]
        live = [(s, tokens) for s, tokens in extended if tokens[-1] != EOS][:beams]
        if not live or (len(finished) == beams and rank(live[0][0], step + 1, alpha) <= finished[-1][0]):
            break
    return finished


def check(result, row, expected):
    """Asserts that row `row` holds the (rank, score, tokens) of `expected`, then empty entries."""
    tokens = [tuple(tokens_T[tokens_T != PAD].tolist()) for tokens_T in result.tokens_BNT[row]]
    assert tokens[: len(expected)] == [output[2] for output in expected]
    np.testing.assert_allclose(result.scores_BN[row, : len(expected)], [o[1] for o in expected], rtol=1e-5)
    np.testing.assert_allclose(result.ranks_BN[row, : len(expected)], [o[0] for o in expected], rtol=1e-5)
    assert not any(tokens[len(expected) :])
    assert (result.scores_BN[row, len(expected) :] == LOWEST).all()
    assert (result.ranks_BN[row, len(expected) :] == LOWEST).all()


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.7])
def test_a_beam_as_large_as_the_number_of_outputs_finds_them_all(markov, pad, run_search, alpha):
    sentences = [[5, EOS], [4, 3, EOS], [3, EOS]]
    model = markov(seed=11)
    # 1 + 4 + 16 + 64 outputs of up to three words, and 256 of four.
    result = run_search(
        model, pad(*sentences, rows=3, width=3), length_penalty=alpha, beam_size=347, max_extra_length=2
    )
    for row, sentence in enumerate(sentences):
        outputs = every_output(Chain(model, sentence), len(sentence) - 1 + 2, alpha)
        assert len(outputs) == {2: 85, 3: 341}[len(sentence)]
        check(result, row, outputs)


@pytest.mark.parametrize(("beams", "alpha"), [(2, 0.6), (3, 0.0), (3, 1.3), (5, 0.6)])
def test_beam_search_equals_the_plain_python_search(markov, pad, run_search, beams, alpha):
    """37 sentences of each of three chains; the beam is much smaller than the number of outputs."""
    generator = np.random.default_rng(beams)
    sentences = [[*generator.integers(3, 7, generator.integers(1, 6)).tolist(), EOS] for _ in range(37)]
    for seed in range(3):
        model = markov(seed)
        result = run_search(model, pad(*sentences), beam_size=beams, length_penalty=alpha)
        for row, sentence in enumerate(sentences):
            check(result, row, plain_beam_search(Chain(model, sentence), len(sentence) - 1 + 5, beams, alpha))


def test_outputs_begin_with_their_prefixes(markov, pad, run_search):
    """Rows with prefixes of one to three tokens, and without: as the plain search whose first choices are forced."""
    generator = np.random.default_rng(3)
    sentences = [[*generator.integers(3, 7, generator.integers(1, 6)).tolist(), EOS] for _ in range(37)]
    prefixes = [generator.integers(3, 7, row % 4).tolist() for row in range(37)]
    prefix_BT = np.full((64, 5), PAD, np.int32)
    for row, prefix in enumerate(prefixes):
        prefix_BT[row, : len(prefix)] = prefix
    for seed in range(2):
        result = run_search(markov(seed), pad(*sentences), prefix_BT=prefix_BT)
        for row, (sentence, prefix) in enumerate(zip(sentences, prefixes, strict=True)):
            limit = len(sentence) - 1 + 5 + len(prefix)
            check(result, row, plain_beam_search(Chain(markov(seed), sentence), limit, 3, 0.6, prefix))


@pytest.mark.parametrize("alpha", [0.6, 2.0])
def test_one_beam_is_greedy_search(markov, pad, run_search, alpha):
    sentences = [[*words, EOS] for words in itertools.product(WORDS, repeat=2)]
    source_BS = pad(*sentences)
    for seed in range(7):
        beam = run_search(markov(seed), source_BS, beam_size=1, length_penalty=alpha)
        greedy = run_search(markov(seed), source_BS, method="greedy", length_penalty=alpha)
        np.testing.assert_array_equal(beam.tokens_BNT, greedy.tokens_BNT)
        np.testing.assert_allclose(beam.scores_BN, greedy.scores_BN, rtol=1e-6)
        np.testing.assert_allclose(beam.ranks_BN, greedy.ranks_BN, rtol=1e-6)


def test_greedy_search_and_one_beam_end_at_a_tie(markov, pad, run_search):
    model = markov(0)
    model = type(model)(model.table.at[:].set(0.0))
    for method in ("greedy", "beam"):
        result = run_search(model, pad([4, EOS]), method=method, beam_size=1)
        assert result.tokens_BNT[0, 0].tolist() == [EOS] + [PAD] * 11
        np.testing.assert_allclose(result.scores_BN[0], [-math.log(7)], rtol=1e-6)


def test_a_finished_row_stays_fixed_while_another_continues(markov, pad, run_search):
    """Class 8 ends at the first step; class 15 never ends and runs to its limit."""
    ends, continues = [4, EOS], [3, 3, EOS]  # 4 + 2·2 = 8 and 3 + 2·3 + 3·2 = 15
    table = np.full(markov(1).table.shape, -20.0, np.float32)
    table[8, ..., EOS] = 0.0
    table[15, ..., 5] = 0.0
    model = type(markov(1))(jax.numpy.asarray(table))
    for method in ("beam", "greedy", "sample"):
        single = run_search(model, pad(ends), method=method)
        both = run_search(model, pad(ends, continues), method=method)
        for one, two in zip(single, both, strict=True):
            np.testing.assert_array_equal(one[0], two[0])
        assert both.tokens_BNT[0, 0].tolist() == [EOS] + [PAD] * 11
        # Two tokens and five more, then forced EOS.
        assert both.tokens_BNT[1, 0].tolist() == [5] * 7 + [EOS] + [PAD] * 4


def test_beam_size_may_exceed_the_vocabulary_and_the_outputs(markov, pad, run_search):
    """With at most one word there are five outputs; the other six entries stay empty."""
    result = run_search(markov(2), pad([EOS], rows=1, width=1), beam_size=11, max_extra_length=1)
    check(result, 0, every_output(Chain(markov(2), [EOS]), 1, 0.6))


@pytest.mark.parametrize("at_limit", [False, True])
def test_the_best_blocks_hold_the_best_extensions(at_limit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU searches only some blocks of a large vocabulary; logits rounded to one decimal have many ties."""
    generator = np.random.default_rng(3)
    logits_BNV = jnp.asarray(generator.normal(size=(5, 3, 2048)).round(1), jnp.float32)
    scores_BN = jnp.asarray(-generator.uniform(0, 2, (5, 3)).round(1), jnp.float32)
    scores_BN = scores_BN.at[2, 1:].set(LOWEST)
    at_limit_B = jnp.full(5, at_limit)
    assert block_size(2048, 3) == 64
    forced_B = None if at_limit else jnp.array([PAD, 700, PAD, PAD, 3])
    blocks = jax.jit(beam._extend)(logits_BNV, scores_BN, at_limit_B, forced_B)
    monkeypatch.setattr(beam, "block_size", lambda length, count: 0)
    every = jax.jit(lambda *arrays: beam._extend(*arrays))(logits_BNV, scores_BN, at_limit_B, forced_B)
    real = np.asarray(every.scores_BM) > LOWEST / 2
    assert real.sum() == (5 * 3 - 2 if at_limit else 3 * 6 + 2 * 3)  # a forced row has an extension per hypothesis
    np.testing.assert_array_equal(every.scores_BM, blocks.scores_BM)
    for one, other in zip(every, blocks, strict=True):
        np.testing.assert_array_equal(one[real], other[real])
