"""Patched scores, compared with traces of single patches; attribution and lens on the same models."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.analysis import patching
from transformer.analysis.patching import ContrastBatch
from transformer.analysis.tracing import activations, patch, trace

SMALL = {"encoder_layers": 1, "decoder_layers": 1}
BATCH = ContrastBatch(
    source_BS=jnp.array([[5, 11, 7, 4, 2], [5, 11, 2, 0, 0]]),
    other_BS=jnp.array([[5, 8, 7, 4, 2], [9, 11, 2, 0, 0]]),
    input_BT=jnp.array([[1, 6, 13], [1, 9, 0]]),
    position_B=jnp.array([2, 1]),
    right_B=jnp.array([3, 7]),
    wrong_B=jnp.array([4, 12]),
)
TARGET = np.array([[6, 13, 3], [9, 7, 0]])  # its decoder inputs are those of the batch, with a token for PAD


def log_odds(logits: Any) -> np.ndarray:
    log = jax.nn.log_softmax(logits)
    return np.array([log[0, 2, 3] - log[0, 2, 4], log[1, 1, 7] - log[1, 1, 12]])


@pytest.mark.parametrize(
    ("architecture", "stack"),
    [pytest.param("transformer", "encoder", marks=pytest.mark.slow), ("rnnsearch", "decoder")],
)
def test_each_position_is_patched_separately(make: Callable[..., Any], architecture: str, stack: str) -> None:
    """The scores are those of traces with one patch."""
    model = make(architecture, **SMALL)
    own, other = trace(model, BATCH.source_BS, TARGET), trace(model, BATCH.other_BS, TARGET)
    groups = patching.stream_groups(own)[stack]
    width = (BATCH.source_BS if stack == "encoder" else BATCH.input_BT).shape[1]
    scores = np.asarray(jax.jit(lambda batch: patching.patch_positions(model, batch, groups, width))(BATCH))
    assert scores.shape == (len(groups), width, 2)
    for group, position in ((0, 1), (len(groups) - 1, 0)):
        patches = [patch(name, other[name], positions=[position]) for name in groups[group]]
        single = trace(model, BATCH.source_BS, TARGET, patches)
        np.testing.assert_allclose(scores[group, position], log_odds(single["logits"]), rtol=1e-4, atol=1e-4)
    unpatched = log_odds(own["logits"])
    assert np.abs(scores - unpatched).max() > 1e-3
    np.testing.assert_allclose(scores[:, 3:, 1], np.broadcast_to(unpatched[1], scores[:, 3:, 1].shape), rtol=1e-4)


def test_the_groups_of_each_architecture(make: Callable[..., Any]) -> None:
    def groups_of(architecture: str) -> dict[str, list[tuple[str, ...]]]:
        model, ids = make(architecture), jnp.ones((1, 2), jnp.int32)
        return patching.stream_groups(jax.eval_shape(lambda: activations(model, ids, ids)))

    groups = {name: groups_of(name) for name in ("transformer", "rnnsearch", "seq2seq")}
    assert groups["transformer"] == {
        "encoder": [("encoder/embedding",), ("encoder/0/residual",), ("encoder/1/residual",)],
        "decoder": [("decoder/0/residual",), ("decoder/1/residual",)],
    }
    assert groups["rnnsearch"] == {
        "encoder": [("encoder/token_embedding",), ("encoder/output",)],
        "decoder": [("decoder/0/hidden",)],
    }
    assert groups["seq2seq"]["decoder"] == [("decoder/0/hidden", "decoder/0/cell")]


def test_heads_and_paths(make: Callable[..., Any]) -> None:
    """Paths from a head to all later ones and to the logits explain a small effect of the head; no path goes back."""
    model, names = make("transformer", **SMALL), ["encoder/0/self_attention", "decoder/0/self_attention"]
    names.append("decoder/0/cross_attention")
    outputs = [f"{name}/heads" for name in names]

    @jax.jit
    def measure(batch: ContrastBatch) -> tuple[jax.Array, ...]:
        heads = patching.patch_heads(model, batch, outputs, 2)
        return heads, patching.patch_paths(model, batch, names, 2), patching.score(model, batch)

    other = trace(model, BATCH.other_BS, TARGET)
    heads, paths, unpatched = map(np.asarray, measure(BATCH))
    single = trace(model, BATCH.source_BS, TARGET, [patch(outputs[2], other[outputs[2]], heads=[1])])
    np.testing.assert_allclose(heads[2, 1], log_odds(single["logits"]), rtol=1e-4, atol=1e-4)
    assert paths.shape == (6, 7, 2)
    np.testing.assert_allclose(paths[2:4, :, 0], unpatched[0], rtol=1e-4)  # decoder heads read the same prefix
    np.testing.assert_allclose(paths[4:6, :6, 0], unpatched[0], rtol=1e-4)  # nothing follows the last attention,
    np.testing.assert_allclose(paths[5, 6], heads[2, 1], rtol=1e-4)  # so that its only path is the one to the logits
    assert np.abs(paths[0, 4:6] - unpatched).max() > 1e-4
    np.testing.assert_allclose(paths[0, :4], np.broadcast_to(unpatched, (4, 2)), rtol=1e-4)


def test_ablated_heads_have_their_means(make: Callable[..., Any]) -> None:
    model, name = make("transformer", **SMALL), "decoder/0/cross_attention/heads"
    means = {name: jnp.full((1, 1, 2, 6), 0.5)}
    sets = jnp.array([[[False, False]], [[True, False]]])
    scores = jax.jit(lambda batch: patching.ablate_heads(model, batch, means, sets))(BATCH)
    for row, patches in enumerate(([], [patch(name, 0.5, heads=[0])])):
        expected = log_odds(trace(model, BATCH.source_BS, TARGET, patches)["logits"])
        np.testing.assert_allclose(scores[row], expected, rtol=1e-4, atol=1e-4)


def test_words_of_other_lengths_get_means(make: Callable[..., Any]) -> None:
    """The second token of one source belongs to the second and third token of the other one."""
    model, name = make("transformer", **SMALL), "encoder/0/residual"
    aligned = np.zeros((2, 5, 5), bool)
    for own, other in ((0, 0), (1, 1), (1, 2), (2, 3), (3, 4)):
        aligned[:, own, other] = True
    batch = BATCH._replace(
        source_BS=jnp.array([[5, 11, 7, 2, 0]] * 2),
        other_BS=jnp.array([[5, 8, 9, 7, 2]] * 2),
        aligned_BSS=jnp.asarray(aligned),
    )
    np.testing.assert_array_equal(batch.changed()[0], [False, True, False, False, False])
    np.testing.assert_array_equal(batch.swapped().changed()[0], [False, True, True, False, False])
    own, other = trace(model, batch.source_BS, TARGET), trace(model, batch.other_BS, TARGET)
    mean = other[name][:, 1:3].mean(axis=1, keepdims=True)

    @jax.jit
    def measure(batch: ContrastBatch) -> tuple[jax.Array, jax.Array]:
        groups = [(name,)]
        noised = patching.patch_positions(model, batch, groups, 5)[0]
        return noised, patching.patch_positions(model, batch.swapped(), groups, 5)[0]

    noised, denoised = measure(batch)
    for scores, source_BS, position, value in (
        (noised, batch.source_BS, 1, mean),
        (noised, batch.source_BS, 2, other[name][:, 3:4]),
        (denoised, batch.other_BS, 2, own[name][:, 1:2]),
    ):
        single = trace(model, source_BS, TARGET, [patch(name, value, positions=[position])])
        np.testing.assert_allclose(scores[position], log_odds(single["logits"]), rtol=1e-4, atol=1e-4)


def test_ablated_words_have_their_means(make: Callable[..., Any]) -> None:
    """The first row is without the changed word, the others are without one other token."""
    model, name = make("rnnsearch"), "encoder/output"
    means = {name: jnp.full((1, 1, trace(model, BATCH.source_BS, TARGET)[name].shape[2]), 0.5)}
    scores = jax.jit(lambda batch: patching.ablate_positions(model, batch, means, 7))(BATCH)
    single = [
        log_odds(trace(model, BATCH.source_BS, TARGET, [patch(name, 0.5, positions=[position])])["logits"])
        for position in range(5)
    ]
    np.testing.assert_allclose(scores[0], [single[1][0], single[0][1]], rtol=1e-4, atol=1e-4)
    for row, others in ((0, (0, 2, 3, 4)), (1, (1, 2))):
        distances = np.abs(np.asarray(scores)[1:, row, None] - np.array([single[other][row] for other in others]))
        assert distances.min(axis=1).max() < 1e-3
        assert len(set(distances.argmin(axis=1))) > 1
