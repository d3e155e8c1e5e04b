"""Masked heads, compared with masked values of the attention; and pruning of heads with known costs."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.analysis import head_masking
from transformer.analysis.forced_decoding import head_counts, target_log_probabilities, teacher_forcing_inputs
from transformer.spec import EOS

SOURCE, TARGET = [5, 11, 7, 4], [6, 13, EOS]


def split(model: Any) -> tuple[Any, head_masking.Params]:
    graph, state = nnx.split(model, graph=True)

    def named(tree: Any) -> Any:
        return {str(key): named(value) for key, value in tree.items()} if isinstance(tree, dict) else tree

    return graph, named(nnx.to_pure_dict(state))


def merged(graph: Any, params: head_masking.Params) -> Any:
    def numbered(tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        return {int(key) if key.isdigit() else key: numbered(value) for key, value in tree.items()}

    return nnx.merge(graph, nnx.State(numbered(params)))


@functools.partial(jax.jit, static_argnums=0)
def log_probabilities(graph: Any, params: head_masking.Params, batch: Any) -> jax.Array:
    return target_log_probabilities(merged(graph, params), *batch)


def test_a_masked_head_contributes_nothing(make: Callable[..., Any]) -> None:
    """The output equals that of a model in which the values of the head are zero."""
    model = make("transformer")
    graph, params = split(model)
    scales = head_masking.unit_scales(params, head_counts(model))
    assert {name: scale_H.tolist() for name, scale_H in scales.items()} == {
        name: [1.0, 1.0] for name in head_counts(model)
    }
    batch = (*teacher_forcing_inputs(SOURCE, TARGET), jnp.array([TARGET]))
    unmasked = log_probabilities(graph, params, batch)
    for name, path in (
        ("encoder/1", ("encoder", "1", "self_attention")),
        ("cross/0", ("decoder", "0", "cross_attention")),
    ):
        masked = head_masking.scale_heads(params, head_masking.mask_heads(scales, (name, 1)))
        values = params
        for key in (*path, "to_value"):
            values = values[key]
        zeroed = {part: values[part].at[..., 3:].set(0) for part in ("kernel", "bias")}  # d_v is 3: head 1 is last
        expected = jax.tree.map(lambda leaf: leaf, params)
        layer = expected
        for key in path:
            layer = layer[key]
        layer["to_value"] = zeroed
        without_head = log_probabilities(graph, masked, batch)
        np.testing.assert_allclose(without_head, log_probabilities(graph, expected, batch), atol=1e-5)
        assert np.abs(without_head - unmasked).max() > 1e-3
    scaled = head_masking.scale_heads(params, scales)
    np.testing.assert_array_equal(log_probabilities(graph, scaled, batch), unmasked)


@pytest.mark.slow
def test_the_gradient_equals_that_of_the_rows_of_the_output_kernel(make: Callable[..., Any]) -> None:
    model = make("transformer", encoder_layers=1, decoder_layers=1)
    graph, params = split(model)
    scales = head_masking.unit_scales(params, head_counts(model))
    source_BS, input_BT = (jnp.concatenate([ids, ids[:, ::-1]]) for ids in teacher_forcing_inputs(SOURCE, TARGET))
    target_BT = jnp.array([TARGET, TARGET])

    def loss(params: head_masking.Params, batch: Any) -> jax.Array:
        return -target_log_probabilities(merged(graph, params), *(ids[None] for ids in batch)).sum()

    batch = (source_BS, input_BT, target_BT)

    def gradients(scales: head_masking.Scales, batch: Any) -> head_masking.Scales:
        return head_masking.scale_gradients(
            lambda scales, sentence: loss(head_masking.scale_heads(params, scales), sentence), scales, batch
        )

    by_scale = jax.jit(gradients)(scales, batch)
    by_params = jax.jit(jax.grad(loss))
    for row in range(2):
        gradient = by_params(params, tuple(ids[row] for ids in batch))
        kernel, kernel_gradient = (
            tree["decoder"]["0"]["cross_attention"]["to_output"]["kernel"] for tree in (params, gradient)
        )
        product = kernel * kernel_gradient
        np.testing.assert_allclose(by_scale["cross/0"][row], product.reshape(2, -1).sum(axis=1), rtol=1e-3, atol=1e-4)


def test_the_head_of_a_recurrent_decoder_is_its_context(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make("rnnsearch")
    graph, params = split(model)
    scales = head_masking.unit_scales(params, head_counts(model))
    assert {name: scale_H.tolist() for name, scale_H in scales.items()} == {"cross/0": [1.0]}
    batch = (*teacher_forcing_inputs(SOURCE, TARGET), jnp.array([TARGET]))
    unmasked = log_probabilities(graph, params, batch)
    np.testing.assert_array_equal(log_probabilities(graph, head_masking.scale_heads(params, scales), batch), unmasked)
    without_head = head_masking.scale_heads(params, head_masking.mask_heads(scales, ("cross/0", 0)))
    masked = log_probabilities(graph, without_head, batch)
    assert np.abs(masked - unmasked).max() > 1e-3
    # A decoder whose weights are all zero has a zero context.
    monkeypatch.setattr(model.attention, "weights_fn", lambda scores, mask: jnp.zeros_like(scores))
    zeroed = jax.jit(lambda batch: target_log_probabilities(model, *batch))(batch)
    np.testing.assert_allclose(masked, zeroed, atol=1e-5)


def test_a_model_without_attention_has_no_heads(make: Callable[..., Any]) -> None:
    model = make("seq2seq")
    assert head_masking.unit_scales(split(model)[1], head_counts(model)) == {}


COST = {("a", 0): 0.5, ("a", 1): 3.0, ("b", 0): -1.0, ("b", 1): 2.0, ("b", 2): 0.25}


def pruned(shortlist: int, **limit: int) -> tuple[list[head_masking.Head | None], list[float], int]:
    """Prunes heads with known costs; "b" 2 costs 9 more once "a" 0 is masked, which importance does not show."""
    calls = 0

    def loss(scales: head_masking.Scales) -> float:
        nonlocal calls
        calls += 1
        masked = {head for head in COST if scales[head[0]][head[1]] == 0}
        return 10 + sum(COST[head] for head in masked) + 9 * ({("a", 0), ("b", 2)} <= masked)

    def importance(scales: head_masking.Scales) -> head_masking.Scales:
        return {name: np.array([COST[name, head] for head in range(len(scale_H))]) for name, scale_H in scales.items()}

    curve = head_masking.prune(loss, importance, {"a": np.ones(2), "b": np.ones(3)}, shortlist, **limit)
    return [step.head for step in curve], [step.loss for step in curve], calls


def test_pruning_masks_the_cheapest_remaining_head() -> None:
    order, losses, calls = pruned(5)
    assert order == [None, ("b", 0), ("b", 2), ("b", 1), ("a", 1), ("a", 0)]
    assert losses == pytest.approx([10, 9, 9.25, 11.25, 14.25, 23.75])
    assert calls == 1 + 5 + 4 + 3 + 2 + 1


def test_only_the_shortlist_is_evaluated() -> None:
    assert pruned(1) == (
        [None, ("b", 0), ("b", 2), ("a", 0), ("b", 1), ("a", 1)],
        [10, 9, 9.25, 18.75, 20.75, 23.75],
        6,
    )
    assert pruned(1, limit=2)[0] == [None, ("b", 0), ("b", 2)]
