"""The logit lens ends in the model's logits, and direct effects sum to the score."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from tests.analysis.test_patching import BATCH, TARGET
from transformer.analysis import lens, patching
from transformer.analysis.tracing import trace


def test_the_last_point_of_the_lens_is_the_model(make: Callable[..., Any]) -> None:
    model = make("transformer", norm="pre", encoder_layers=1)
    traced = trace(model, BATCH.source_BS, TARGET)
    logits = jax.jit(lambda batch: lens.logit_lens(model, batch.source_BS, batch.input_BT))(BATCH)
    assert lens.decoder_streams(list(traced)) == ["decoder/embedding", "decoder/0/residual", "decoder/1/residual"]
    np.testing.assert_allclose(logits[2, 0], traced["logits"][0], rtol=1e-4, atol=1e-4)
    first = model.logits(model.decoder_norm(traced["decoder/0/residual"]))
    np.testing.assert_allclose(logits[1, 0], first[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "post", "decoder_layers": 1},
        *(
            pytest.param(changes, marks=pytest.mark.slow)
            for changes in (
                {"norm": "pre", "output_bias": True},
                {"norm": "pre", "norm_kind": "rms"},
                {"norm": "none", "feed_forward": False},
                {"residual": False},
            )
        ),
    ],
)
def test_direct_effects_sum_to_the_score(make: Callable[..., Any], changes: dict[str, Any]) -> None:
    model = make("transformer", **{"encoder_layers": 1} | changes)
    effects, score = jax.jit(lambda batch: (lens.direct_effects(model, batch), patching.score(model, batch)))(BATCH)
    assert effects["decoder/0/cross_attention/heads"].shape == (2, 2)
    total = sum(np.asarray(effect).reshape(2, -1).sum(axis=1) for effect in effects.values())
    np.testing.assert_allclose(total, score, rtol=1e-3, atol=1e-3)
    assert np.abs(effects["decoder/0/cross_attention/heads"]).max() > 0 or changes.get("residual") is False


@pytest.mark.slow
def test_a_recurrent_model_has_no_stream(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="no residual stream"):
        lens.logit_lens(make("rnnsearch"), BATCH.source_BS, BATCH.input_BT)
