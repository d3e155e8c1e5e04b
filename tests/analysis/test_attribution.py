"""Attribution: completeness, comparison with single traces, and arithmetic by hand for rollout."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.analysis.test_patching import BATCH, SMALL, TARGET, log_odds
from transformer.analysis import attribution, patching
from transformer.analysis.tracing import patch, trace

SCORES = {"contrast": patching.log_odds, "token": patching.log_probability}


def attribute(model: Any, method: str, score: Any = patching.log_odds) -> attribution.Attribution:
    function = attribution.METHODS[method]
    return jax.jit(lambda batch: function(model, batch, score))(BATCH)


@pytest.mark.parametrize(
    "score",
    [
        pytest.param(SCORES["contrast"], id="contrast"),
        pytest.param(SCORES["token"], id="token", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "architecture", ["transformer", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rnnsearch", "seq2seq"))]
)
def test_integrated_gradients_sum_to_the_change_of_the_score(
    make: Callable[..., Any], architecture: str, score: Any
) -> None:
    model = _smooth(make(architecture, **SMALL, activation="gelu"))
    gradients = attribute(model, "integrated gradients", score)
    without, full = jax.jit(
        lambda batch: (
            attribution.score_without_tokens(model, batch, score),
            score(model, batch, patching.activations(model, batch.source_BS, batch.input_BT)),
        )
    )(BATCH)
    np.testing.assert_allclose(gradients.total(), full - without, rtol=2e-2, atol=1e-3)
    assert np.abs(full - without).min() > 1e-2
    assert not np.any(gradients.source_BS[1, 3:])


def _smooth(model: Any) -> Any:
    """Returns the model with smaller parameters, whose scores a quadrature of few points can integrate."""
    return jax.tree.map(lambda leaf: 0.5 * leaf, model)


def test_occlusion_and_value_zeroing_remove_single_tokens(make: Callable[..., Any]) -> None:
    model = make("transformer", **SMALL)
    full = log_odds(trace(model, BATCH.source_BS, TARGET)["logits"])
    without = trace(model, BATCH.source_BS, TARGET, [patch("encoder/token_embedding", 0, positions=[1])])
    occluded = attribute(model, "occlusion")
    np.testing.assert_allclose(occluded.source_BS[:, 1], full - log_odds(without["logits"]), rtol=1e-3, atol=1e-4)
    names = ("encoder/0/self_attention/value", "decoder/0/cross_attention/value")
    without = trace(model, BATCH.source_BS, TARGET, [patch(name, 0, positions=[1]) for name in names])
    zeroed = attribute(model, "value zeroing")
    np.testing.assert_allclose(zeroed.source_BS[:, 1], full - log_odds(without["logits"]), rtol=1e-3, atol=1e-4)
    without = trace(model, BATCH.source_BS, TARGET, [patch("decoder/0/self_attention/value", 0, positions=[0])])
    np.testing.assert_allclose(zeroed.prefix_BT[:, 0], full - log_odds(without["logits"]), rtol=1e-3, atol=1e-4)


def test_rollout_of_one_layer(make: Callable[..., Any]) -> None:
    """(self-attention + identity) / 2 in the encoder, then half of cross-attention to it."""
    model = make("transformer", **SMALL)
    traced = trace(model, BATCH.source_BS, TARGET)
    encoder, cross, decoder = (
        np.asarray(traced[f"{name}_attention/weights"])[0].mean(axis=0)
        for name in ("encoder/0/self", "decoder/0/cross", "decoder/0/self")
    )
    rolled = attribute(model, "attention rollout")
    np.testing.assert_allclose(rolled.source_BS[0], cross[2] @ (encoder + np.eye(5)) / 4, rtol=1e-4)
    np.testing.assert_allclose(rolled.prefix_BT[0], (decoder[2] + np.eye(3)[2]) / 4, rtol=1e-4)
    np.testing.assert_allclose(rolled.total(), 1, rtol=1e-5)


@pytest.mark.slow
def test_rollout_follows_the_order_of_eleven_layers(make: Callable[..., Any]) -> None:
    """Layer 10 comes after layer 9, not after layer 1."""
    model = make("transformer", encoder_layers=11, decoder_layers=11)
    traced = trace(model, BATCH.source_BS, TARGET)

    def weights(name: str) -> np.ndarray:
        return np.asarray(traced[f"{name}_attention/weights"])[0].mean(axis=0)

    source, of_source = np.eye(5), np.zeros((3, 5))
    for layer in range(11):
        source = (source + weights(f"encoder/{layer}/self") @ source) / 2
    for layer in range(11):
        of_source = (of_source + weights(f"decoder/{layer}/self") @ of_source) / 2
        of_source = (of_source + weights(f"decoder/{layer}/cross") @ source) / 2
    np.testing.assert_allclose(attribute(model, "attention rollout").source_BS[0], of_source[2], rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_input_x_gradient_is_a_derivative(make: Callable[..., Any]) -> None:
    """The sum is the derivative of the score with respect to a common scale of the embeddings."""
    model = _smooth(make("rnnsearch"))
    product = attribute(model, "input × gradient")
    names = ("encoder/token_embedding", "decoder/token_embedding")
    embeddings = trace(model, BATCH.source_BS, TARGET)
    up, down = (
        log_odds(trace(model, BATCH.source_BS, TARGET, [patch(n, s * embeddings[n]) for n in names])["logits"])
        for s in (1.01, 0.99)
    )
    np.testing.assert_allclose(product.total(), (up - down) / 0.02, rtol=1e-2, atol=1e-3)


def test_a_model_without_attention_has_no_rollout(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="no attention"):
        attribution.attention_rollout(make("seq2seq"), BATCH, patching.log_odds)
    assert jnp.isfinite(attribute(make("seq2seq"), "occlusion").total()).all()
