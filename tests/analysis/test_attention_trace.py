"""Weights follow from the recorded queries and keys, for every score function and architecture."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from transformer.analysis.attention_trace import trace_attention
from transformer.analysis.forced_decoding import decode_pair
from transformer.spec import EOS

SOURCE, TARGET = [5, 11, 7, 4], [6, 13, EOS]
ONE_LAYER = {"encoder_layers": 1, "decoder_layers": 1}
DOT, ADDITIVE, COSINE = "q·k", "vᵀ tanh(q + k)", "q̂·k̂"


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("architecture", "changes", "raw_formulas"),
    [
        ("transformer", {}, {DOT}),
        (
            "transformer",
            {"score_scale": "learned", "positions": "rotary", "cross_score": "additive", "d_k": 4},
            {DOT, ADDITIVE},
        ),
        pytest.param("transformer", {"score_scale": "none"}, {DOT}, marks=pytest.mark.slow),
        pytest.param("transformer", {"score": "cosine"}, {COSINE}, marks=pytest.mark.slow),
        pytest.param("transformer", {"score": "additive"}, {ADDITIVE}, marks=pytest.mark.slow),
        ("transformer", {"score": "cosine", "cross_score": "additive"}, {COSINE, ADDITIVE}),
        ("rnnsearch", {}, {ADDITIVE}),
        pytest.param("rnnsearch", {"cross_score": "dot"}, {DOT}, marks=pytest.mark.slow),
        pytest.param("rnnsearch", {"cross_score": "cosine"}, {COSINE}, marks=pytest.mark.slow),
    ],
)
def test_the_weights_follow_from_queries_and_keys(
    architecture: str, changes: dict[str, Any], raw_formulas: set[str], make: Callable[..., Any]
) -> None:
    """In self- and cross-attention; the formula of a trace describes its raw scores."""
    model = make(architecture, **ONE_LAYER, **changes)
    traces, weights = trace_attention(model, SOURCE, TARGET), decode_pair(model, SOURCE, TARGET).attention
    assert list(traces) == list(weights)
    assert {trace.raw_formula for trace in traces.values()} == raw_formulas
    for name, trace in traces.items():
        query, key = trace.query_THK, trace.key_SHK
        if trace.raw_formula == COSINE:
            query, key = unit(query), unit(key)
        if trace.raw_formula != ADDITIVE:
            np.testing.assert_allclose(np.einsum("thk,shk->hts", query, key), trace.raw_HTS, rtol=1e-4, atol=1e-4)
        scores = trace.raw_HTS * trace.factor_H[:, None, None]
        if name.startswith("decoder"):
            scores = np.where(np.tril(np.ones(scores.shape[1:])), scores, -1e30)
        assert trace.softmax
        np.testing.assert_allclose(softmax(scores), weights[name], rtol=1e-4, atol=1e-5)
        assert trace.value_SHU.shape[:2] == (weights[name].shape[2], weights[name].shape[0])


@pytest.mark.parametrize("kind", [pytest.param("alibi", marks=pytest.mark.slow), "relative"])
def test_a_term_for_distances_is_a_part_of_raw_scores(make: Callable[..., Any], kind: str) -> None:
    model = make("transformer", **ONE_LAYER, positions=kind)
    traces, weights = trace_attention(model, SOURCE, TARGET), decode_pair(model, SOURCE, TARGET).attention
    trace, cross = traces["encoder/0"], traces["cross/0"]
    assert (cross.formula, cross.score) == ("q·k · scale", "dot")
    assert trace.formula.startswith("q·k · scale + (")
    scores = trace.raw_HTS * trace.factor_H[:, None, None]
    np.testing.assert_allclose(softmax(scores), weights["encoder/0"], rtol=1e-4, atol=1e-5)
    products = np.einsum("thk,shk->hts", trace.query_THK, trace.key_SHK)
    assert np.abs(products - trace.raw_HTS).max() > 0.01


def test_the_terms_of_each_score(make: Callable[..., Any]) -> None:
    """Additive: vᵀ tanh(q + k) without a scale. Cosine: the factor is exp(τ) of each head."""
    model = make("transformer", **ONE_LAYER, score="cosine", cross_score="additive")
    traces = trace_attention(model, SOURCE, TARGET)
    cross, encoder = traces["cross/0"], traces["encoder/0"]
    vector_HK = np.asarray(model.decoder[0].cross_attention.attention.scores.vector_HK[...])
    sums = np.tanh(cross.query_THK[:, None] + cross.key_SHK[None])
    np.testing.assert_allclose(np.einsum("tshk,hk->hts", sums, vector_HK), cross.raw_HTS, rtol=1e-4, atol=1e-4)
    assert (cross.score, cross.formula) == ("additive", ADDITIVE)
    np.testing.assert_array_equal(cross.factor_H, [1, 1])
    tau_H = np.asarray(model.encoder[0].self_attention.attention.scores.log_scale_H[...])
    np.testing.assert_allclose(encoder.factor_H, np.exp(tau_H), rtol=1e-6)
    assert encoder.score == "cosine"
    assert encoder.formula.startswith(COSINE)
    assert np.abs(encoder.raw_HTS).max() < 1 + 1e-6


def test_the_model_is_not_changed(make: Callable[..., Any]) -> None:
    model = make("transformer", **ONE_LAYER)
    before = decode_pair(model, SOURCE, TARGET)
    kind = type(model.encoder[0].self_attention.attention)
    trace_attention(model, SOURCE, TARGET)
    assert type(model.encoder[0].self_attention.attention) is kind
    np.testing.assert_array_equal(decode_pair(model, SOURCE, TARGET).log_probability_T, before.log_probability_T)


def test_weights_that_are_not_a_softmax_are_marked(make: Callable[..., Any]) -> None:
    traces = trace_attention(make("transformer", **ONE_LAYER, weights="sigmoid"), SOURCE, TARGET)
    assert not any(trace.softmax for trace in traces.values())


def test_a_model_without_attention_has_no_traces(make: Callable[..., Any]) -> None:
    assert trace_attention(make("seq2seq"), SOURCE, TARGET) == {}
