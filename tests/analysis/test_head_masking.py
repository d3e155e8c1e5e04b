"""Heads taken out by parameters: against a model whose heads are known, and against the attention itself."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.analysis import head_masking
from transformer.analysis.forced_decoding import head_counts, log_probabilities, teacher_forced
from transformer.spec import EOS

SOURCE, TARGET = [5, 11, 7, 4], [6, 13, EOS]


def split(model: Any) -> tuple[Any, head_masking.Params]:
    graph, state = nnx.split(model)

    def named(tree: Any) -> Any:
        return {str(key): named(value) for key, value in tree.items()} if isinstance(tree, dict) else tree

    return graph, named(nnx.to_pure_dict(state))


def merged(graph: Any, params: head_masking.Params) -> Any:
    def numbered(tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        return {int(key) if key.isdigit() else key: numbered(value) for key, value in tree.items()}

    return nnx.merge(graph, nnx.State(numbered(params)))


def test_a_head_that_is_taken_out_adds_nothing(make: Callable[..., Any]) -> None:
    """What the model says then is what it says with the head's values at zero, whatever its queries and keys are."""
    model = make("transformer")
    graph, params = split(model)
    scales = head_masking.whole(params, head_counts(model))
    assert {name: each.tolist() for name, each in scales.items()} == {name: [1.0, 1.0] for name in head_counts(model)}
    batch = (*teacher_forced(SOURCE, TARGET), jnp.array([TARGET]))
    for name, path in (
        ("encoder/1", ("encoder", "1", "self_attention")),
        ("cross/0", ("decoder", "0", "cross_attention")),
    ):
        out = head_masking.scaled(params, head_masking.without(scales, (name, 1)))
        values = params
        for key in (*path, "to_value"):
            values = values[key]
        silent = {part: values[part].at[..., 3:].set(0) for part in ("kernel", "bias")}  # d_v is 3: head 1 is last
        muted = jax.tree.map(lambda leaf: leaf, params)
        owner = muted
        for key in path:
            owner = owner[key]
        owner["to_value"] = silent
        np.testing.assert_allclose(
            log_probabilities(merged(graph, out), *batch), log_probabilities(merged(graph, muted), *batch), atol=1e-5
        )
        changed = log_probabilities(merged(graph, out), *batch) - log_probabilities(model, *batch)
        assert np.abs(changed).max() > 1e-3
    np.testing.assert_array_equal(
        log_probabilities(merged(graph, head_masking.scaled(params, scales)), *batch), log_probabilities(model, *batch)
    )


def test_the_gradient_is_that_of_the_rows_of_the_output_s_weights(make: Callable[..., Any]) -> None:
    model = make("transformer", encoder_layers=1, decoder_layers=1)
    graph, params = split(model)
    scales = head_masking.whole(params, head_counts(model))
    source_BS, input_BT = (jnp.concatenate([each, each[:, ::-1]]) for each in teacher_forced(SOURCE, TARGET))
    target_BT = jnp.array([TARGET, TARGET])

    def loss(params: head_masking.Params, batch: Any) -> jax.Array:
        return -log_probabilities(merged(graph, params), *(each[None] for each in batch)).sum()

    batch = (source_BS, input_BT, target_BT)

    def gradients(scales: head_masking.Scales, batch: Any) -> head_masking.Scales:
        return head_masking.gradients(lambda scales, one: loss(head_masking.scaled(params, scales), one), scales, batch)

    found = jax.jit(gradients)(scales, batch)
    slope_of = jax.jit(jax.grad(loss))
    for row in range(2):
        slopes = slope_of(params, tuple(each[row] for each in batch))
        place, slope = params["decoder"]["0"]["cross_attention"], slopes["decoder"]["0"]["cross_attention"]
        product = place["to_output"]["kernel"] * slope["to_output"]["kernel"]
        np.testing.assert_allclose(found["cross/0"][row], product.reshape(2, -1).sum(axis=1), rtol=1e-3, atol=1e-4)


def test_the_head_of_a_recurrent_decoder_is_its_context(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make("rnnsearch")
    graph, params = split(model)
    scales = head_masking.whole(params, head_counts(model))
    assert {name: each.tolist() for name, each in scales.items()} == {"cross/0": [1.0]}
    batch = (*teacher_forced(SOURCE, TARGET), jnp.array([TARGET]))
    whole = log_probabilities(model, *batch)
    np.testing.assert_array_equal(log_probabilities(merged(graph, head_masking.scaled(params, scales)), *batch), whole)
    out = log_probabilities(
        merged(graph, head_masking.scaled(params, head_masking.without(scales, ("cross/0", 0)))), *batch
    )
    assert np.abs(out - whole).max() > 1e-3
    # A decoder that gives weight to no word has a context of zero.
    monkeypatch.setattr(model.attention, "weigh", lambda scores, mask: jnp.zeros_like(scores))
    np.testing.assert_allclose(out, log_probabilities(model, *batch), atol=1e-5)


def test_a_model_without_attention_has_no_heads_to_take_out(make: Callable[..., Any]) -> None:
    model = make("seq2seq")
    assert head_masking.whole(split(model)[1], head_counts(model)) == {}


COST = {("a", 0): 0.5, ("a", 1): 3.0, ("b", 0): -1.0, ("b", 1): 2.0, ("b", 2): 0.25}


def pruned(shortlist: int, **limit: int) -> tuple[list[head_masking.Head | None], list[float], int]:
    """Heads with known costs, but "b" 2 costs 9 more once "a" 0 is gone. Importance knows nothing of that."""
    calls = 0

    def loss(scales: head_masking.Scales) -> float:
        nonlocal calls
        calls += 1
        gone = {head for head in COST if scales[head[0]][head[1]] == 0}
        return 10 + sum(COST[head] for head in gone) + 9 * ({("a", 0), ("b", 2)} <= gone)

    def importance(scales: head_masking.Scales) -> head_masking.Scales:
        return {name: np.array([COST[name, head] for head in range(len(each))]) for name, each in scales.items()}

    curve = head_masking.prune(loss, importance, {"a": np.ones(2), "b": np.ones(3)}, shortlist, **limit)
    return [each.head for each in curve], [each.loss for each in curve], calls


def test_pruning_takes_the_cheapest_head_of_those_that_are_left() -> None:
    order, losses, calls = pruned(5)
    assert order == [None, ("b", 0), ("b", 2), ("b", 1), ("a", 1), ("a", 0)]
    assert losses == pytest.approx([10, 9, 9.25, 11.25, 14.25, 23.75])
    assert calls == 1 + 5 + 4 + 3 + 2 + 1


def test_a_short_list_is_tried_and_no_more() -> None:
    assert pruned(1) == (
        [None, ("b", 0), ("b", 2), ("a", 0), ("b", 1), ("a", 1)],
        [10, 9, 9.25, 18.75, 20.75, 23.75],
        6,
    )
    assert pruned(1, limit=2)[0] == [None, ("b", 0), ("b", 2)]
