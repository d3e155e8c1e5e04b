"""Attention kernels compute what XLA computes, and reject settings that they do not support."""

from typing import Any

import numpy as np
import pytest

from transformer.models.build import abstract_model


def test_splash_equals_xla(make, batch) -> None:
    """On a CPU, XLA computes both; tests/ops/test_attention_splash.py compares the kernel itself."""
    net, kernel = make(dropout_attention=0.0), make(dropout_attention=0.0, attention_kernel="splash")
    assert set(kernel.params) == set(net.params)
    np.testing.assert_allclose(kernel(*batch).decoded.hidden_BTD, net(*batch).decoded.hidden_BTD, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "sigmoid"}, "has no model.weights=sigmoid; set it to softmax"),
        ({"dropout_attention": 0.1}, "has no model.dropout_attention=0.1; set it to 0.0"),
        ({"score_scale": "learned"}, "has dot products times a number as scores"),
        ({"cross_score": "additive"}, "has dot products times a number as scores"),
        ({"score": "cosine"}, "has dot products times a number as scores"),
        ({"positions": "alibi"}, "adds nothing to scores and so has no model.positions=alibi; set sinusoid"),
        ({"decoder_positions": "relative"}, "has no model.positions=sinusoid and relative; set sinusoid"),
        ({"architecture": "rnnsearch"}, "splash changes nothing in a rnnsearch model"),
    ],
)
def test_kernels_reject_other_scores_and_weights(make_spec, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^model\.attention_kernel.*{message}"):
        abstract_model(make_spec(**{"attention_kernel": "splash", "dropout_attention": 0.0} | changes), 23)


HALF = {"attention_kernel": "cudnn", "dropout_attention": 0.0, "dtype": "bfloat16", "d_k": 8, "d_v": 8}


def test_cudnn_equals_xla_on_a_cpu(make, batch) -> None:
    net, kernel = make(**HALF | {"attention_kernel": "xla"}), make(**HALF)
    assert set(kernel.params) == set(net.params)
    np.testing.assert_array_equal(kernel(*batch).logits_BTV, net(*batch).logits_BTV)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "float32"}, "multiplies 16 bits, not float32; set model.dtype=bfloat16"),
        ({"d_k": 12, "d_v": 12}, "has heads of equal key and value widths, .* not 12 and 12"),
        ({"d_k": 8, "d_v": 16}, "has heads of equal key and value widths, .* not 8 and 16"),
        ({"dropout_attention": 0.1}, "has no model.dropout_attention=0.1; set it to 0.0"),
    ],
)
def test_cudnn_rejects_unsupported_settings(make_spec, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^model\.attention_kernel=cudnn {message}"):
        abstract_model(make_spec(**HALF | changes), 23)
