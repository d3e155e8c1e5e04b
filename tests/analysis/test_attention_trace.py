"""Queries, keys and values: from them alone follows what the model's own attention says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from transformer.analysis.attention_trace import look_inside
from transformer.analysis.forced_decoding import read
from transformer.spec import EOS

SOURCE, TARGET = [5, 11, 7, 4], [6, 13, EOS]


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("transformer", {}),
        ("transformer", {"score_scale": "learned", "positions": "rotary", "cross_score": "additive", "d_k": 4}),
        ("transformer", {"score_scale": "none"}),
        ("rnnsearch", {}),
        ("rnnsearch", {"cross_score": "dot"}),
    ],
)
def test_the_weights_follow_from_queries_and_keys(
    architecture: str, changes: dict[str, Any], make: Callable[..., Any]
) -> None:
    model = make(architecture, **changes)
    inside, weights = look_inside(model, SOURCE, TARGET), read(model, SOURCE, TARGET).attention
    assert list(inside) == list(weights)
    for name, each in inside.items():
        if each.kind == "dot":
            products = np.einsum("thk,shk->hts", each.query_THK, each.key_SHK)
            scores = products * each.scale_H[:, None, None]
        else:
            sums = np.tanh(each.query_THK[:, None] + each.key_SHK[None])
            scores = np.einsum("tshk,hk->hts", sums, each.vector_HK)
        np.testing.assert_allclose(scores, each.scores_HTS, rtol=1e-4, atol=1e-4)
        if name.startswith("decoder"):
            scores = np.where(np.tril(np.ones(scores.shape[1:])), scores, -1e30)
        assert each.softmax
        np.testing.assert_allclose(softmax(scores), weights[name], rtol=1e-4, atol=1e-5)
        assert each.value_SHU.shape[:2] == (weights[name].shape[2], weights[name].shape[0])


def test_the_model_stays_as_it_is(make: Callable[..., Any]) -> None:
    model = make("transformer")
    before = read(model, SOURCE, TARGET)
    kind = type(model.encoder[0].self_attention.attention)
    look_inside(model, SOURCE, TARGET)
    assert type(model.encoder[0].self_attention.attention) is kind
    np.testing.assert_array_equal(read(model, SOURCE, TARGET).log_probability_T, before.log_probability_T)


def test_weights_that_are_no_softmax_are_said_to_be_none(make: Callable[..., Any]) -> None:
    assert not any(
        each.softmax for each in look_inside(make("transformer", weights="sigmoid"), SOURCE, TARGET).values()
    )


def test_there_is_nothing_inside_a_model_without_attention(make: Callable[..., Any]) -> None:
    assert look_inside(make("seq2seq"), SOURCE, TARGET) == {}
