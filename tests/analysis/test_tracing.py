"""Patches replace what they name, compose, and let gradients through."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.analysis import mean_activations, patch, perturb, trace
from transformer.analysis.tracing import activations, decoder_inputs

SOURCE = np.array([[5, 11, 7, 4, 2], [5, 11, 2, 0, 0]])
TARGET = np.array([[6, 13, 2, 0], [9, 4, 5, 2]])
ONE_LAYER = {"encoder_layers": 1, "decoder_layers": 1}


def slow(*cases: Any) -> list[Any]:
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("transformer", "decoder/0/self_attention/heads"),
        ("rnnsearch", "decoder/0/hidden"),
        *slow(
            ("transformer", "encoder/0/residual"),
            ("rnnsearch", "encoder/output"),
            ("seq2seq", "encoder/0/hidden"),
            ("seq2seq", "decoder/0/cell"),
        ),
    ],
)
def test_a_patch_replaces_one_position(make: Callable[..., Any], architecture: str, name: str) -> None:
    """By zero, a function's result or another sentence's value, which restores the other sentence's logits."""
    model = make(architecture, **ONE_LAYER)
    other_source = np.where(SOURCE == 11, 8, SOURCE)
    clean, other = trace(model, SOURCE, TARGET), trace(model, other_source, TARGET)
    zeroed = trace(model, SOURCE, TARGET, [patch(name, 0, positions=[1])])
    assert not np.any(zeroed[name][:, 1])
    np.testing.assert_allclose(zeroed[name][:, 0], clean[name][:, 0], rtol=1e-5, atol=1e-6)
    assert np.abs(zeroed["logits"] - clean["logits"])[0, 1:].max() > 1e-3
    first = trace(model, other_source, TARGET, [patch("encoder/token_embedding", clean["encoder/token_embedding"])])
    np.testing.assert_allclose(first["logits"], clean["logits"], rtol=1e-4, atol=1e-4)
    mixed = trace(
        model, SOURCE, TARGET, [patch(name, other[name], positions=[1]), patch(name, _doubled, positions=[1])]
    )
    np.testing.assert_allclose(mixed[name][:, 1], 2 * other[name][:, 1], rtol=1e-4, atol=1e-5)


def _doubled(value: jax.Array) -> jax.Array:
    return 2 * value


def test_patches_compose_and_select_heads(make: Callable[..., Any]) -> None:
    model, name = make("transformer", **ONE_LAYER), "decoder/0/cross_attention/heads"
    clean = trace(model, SOURCE, TARGET)
    both = trace(model, SOURCE, TARGET, [patch(name, 0, heads=[1]), patch(name, 7, [2], [0, 1]), patch(name, _doubled)])
    expected = np.array(clean[name])
    expected[:, :, 1] = 0
    expected[:, 2] = 7
    np.testing.assert_allclose(both[name], 2 * expected, rtol=1e-4, atol=1e-5)
    bias = model.decoder[0].cross_attention.to_output.bias[...]
    output = both[name].sum(axis=2) + bias[None, None]
    np.testing.assert_allclose(output, both["decoder/0/cross_attention/output"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["rnnsearch", pytest.param("transformer", marks=pytest.mark.slow)])
def test_gradients_flow_through_patches(make: Callable[..., Any], architecture: str) -> None:
    """The directional derivative equals a difference quotient, in a vmap over positions."""
    model, name = make(architecture), "decoder/0/cross_attention/context"
    source, inputs = jnp.asarray(SOURCE[:1]), decoder_inputs(jnp.asarray(TARGET[:1]))
    shape = jax.eval_shape(lambda: activations(model, source, inputs))[name].shape
    direction = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)

    def score(delta: jax.Array, position: jax.Array) -> jax.Array:
        patches = [perturb(name, delta), patch(name, 0, positions=position)]
        return activations(model, source, inputs, patches)["logits"][0, 2, 3]

    @jax.jit
    def compare(positions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        step = 1e-2 * direction
        up, down = (jax.vmap(lambda p, s=sign: score(s * step, p))(positions) for sign in (1, -1))
        gradient = jax.vmap(jax.grad(score), in_axes=(None, 0))(jnp.zeros(shape), positions)
        return (up - down) / 2e-2, (gradient * direction[None]).sum(axis=(1, 2, 3, 4)), gradient

    quotient, derivative, gradient = compare(jnp.array([0, 1]))
    np.testing.assert_allclose(quotient, derivative, rtol=2e-2, atol=1e-3)
    assert np.abs(derivative).min() > 1e-4
    assert not np.any(gradient[1][:, 1])  # a perturbation of what is then replaced changes nothing
    assert np.any(gradient[1][:, 0])


def test_means_leave_out_padding(make: Callable[..., Any]) -> None:
    model = make("transformer", **ONE_LAYER)
    names = ["encoder/0/residual", "decoder/0/cross_attention/heads", "decoder/0/cross_attention/value"]
    means, traced = mean_activations(model, [(SOURCE, TARGET)], names), trace(model, SOURCE, TARGET)
    for name, sizes in zip(names, ((5, 3), (3, 4), (5, 3)), strict=True):
        rows = np.concatenate([traced[name][row, :size] for row, size in enumerate(sizes)])
        np.testing.assert_allclose(means[name][0, 0], rows.mean(axis=0), rtol=1e-4, atol=1e-5)
    replaced = trace(model, SOURCE, TARGET, [patch(name, value) for name, value in means.items()])
    assert np.ptp(replaced["encoder/0/residual"], axis=(0, 1)).max() == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("encoder/0/residuals", 0), "'encoder/0/residuals'.* encoder/0/residual,"),
        (("decoder/0/cross_attention/head", 0), "decoder/0/cross_attention/heads"),
        (("logits", 0, [4]), "no position 4; .* 4, numbered from 0"),
        (("logits", 0, [-1]), "no position -1"),
        (("logits", 0, None, [0]), "no head 0; .* no axis of heads"),
        (("encoder/0/self_attention/heads", 0, None, [2]), "no head 2"),
        (("encoder/0/residual", np.zeros(6)), r"shape \(6,\) does not broadcast to BTD \(2, 5, 6\)"),
        (("encoder/0/residual", np.zeros((1, 3, 6))), r"shape \(1, 3, 6\)"),
    ],
)
def test_a_patch_that_fits_nothing_is_refused(make: Callable[..., Any], wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trace(make("transformer", **ONE_LAYER), SOURCE, TARGET, [patch(*wrong)])
