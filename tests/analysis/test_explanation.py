"""Measures that explain a token: which ones a model has, the rows of a pair, and the lens at a position."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from transformer.analysis import explanation
from transformer.analysis.explanation import DIRECT_EFFECTS, LENS, MEASURES
from transformer.analysis.tracing import trace
from transformer.models.ensemble import Ensemble
from transformer.spec import BOS, EOS, PAD

SOURCE, TARGET = [7, 5, 9], [4, 11, EOS]
ATTRIBUTION = {"input × gradient", "integrated gradients", "occlusion"}
WITH_ATTENTION = ATTRIBUTION | {"value zeroing", "attention rollout"}


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("transformer", WITH_ATTENTION | {LENS, DIRECT_EFFECTS}),
        ("rnnsearch", WITH_ATTENTION),
        ("seq2seq", ATTRIBUTION),
    ],
)
def test_measures_of_each_architecture(make: Callable[..., Any], architecture: str, expected: set[str]) -> None:
    assert set(explanation.measures_of(make(architecture))) == expected


def test_an_ensemble_has_no_measures(make: Callable[..., Any]) -> None:
    assert explanation.measures_of(Ensemble([make()])) == []


def test_rows_of_a_pair() -> None:
    batch = explanation.contrast_rows(SOURCE, TARGET, [2, 0], [8, 6], 5)
    np.testing.assert_array_equal(batch.source_BS, [[7, 5, 9, EOS, PAD]] * 2)
    np.testing.assert_array_equal(batch.input_BT, [[BOS, 4, 11, PAD, PAD]] * 2)
    np.testing.assert_array_equal(batch.position_B, [2, 0])
    np.testing.assert_array_equal(batch.right_B, [EOS, 4])
    np.testing.assert_array_equal(batch.wrong_B, [8, 6])
    assert [explanation.best_alternative(token, [3, 8, 5]) for token in (3, 8)] == [8, 3]


def test_the_last_point_of_the_lens_has_the_models_probabilities(make: Callable[..., Any]) -> None:
    model = make("transformer", encoder_layers=1, decoder_layers=1)
    batch = explanation.contrast_rows(SOURCE, TARGET, [1, 2], [8, 8], 5)
    points = jax.jit(lambda batch: MEASURES[LENS](model, batch))(batch)
    logits = trace(model, batch.source_BS, np.array([[*TARGET, PAD, PAD]] * 2))["logits"]
    assert set(points) == {"decoder/embedding", "decoder/0/residual"}
    for row, position in enumerate([1, 2]):
        point = explanation.row_of({LENS: points}, row)[LENS]["decoder/0/residual"]
        expected = np.asarray(jax.nn.softmax(logits[row, position]))
        np.testing.assert_allclose(point.probability_B, expected[TARGET[position]], rtol=1e-3, atol=1e-6)
        np.testing.assert_array_equal(point.top_tokens, np.argsort(-expected)[:5])
        np.testing.assert_allclose(point.top_probability, np.sort(expected)[::-1][:5], rtol=1e-3, atol=1e-6)
