"""Wrapped models compute what models compute, and the parts sum to the whole."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.analysis.tracing import decoder_inputs, trace

SOURCE = np.array([[5, 11, 7, 4, 2], [5, 11, 2, 0, 0]])
TARGET = np.array([[6, 13, 2, 0], [9, 4, 5, 2]])
ONE_LAYER = {"encoder_layers": 1, "decoder_layers": 1}
VARIANTS = [
    ("transformer", ONE_LAYER | {"norm": "pre", "positions": "alibi", "output_bias": True}),
    ("rnnsearch", {}),
    ("seq2seq", {"reverse_source": True}),
]
MORE_VARIANTS = [
    ("transformer", {}),
    ("transformer", {"norm": "none", "cross_memory": "each", "activation": "swiglu", "norm_kind": "rms"}),
    ("transformer", {"residual": False, "positions": "rotary", "d_k": 4, "score": "cosine", "cross_score": "additive"}),
    ("transformer", {"feed_forward": False, "weights": "sigmoid", "norm_kind": "rms"}),
    ("rnnsearch", {"cell": "lstm", "cross_score": "dot"}),
    ("seq2seq", {"cell": "gru", "encoder_layers": 2, "decoder_layers": 2}),
]


def slow(*cases: Any) -> list[Any]:
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


@pytest.mark.parametrize(("architecture", "changes"), [*VARIANTS, *slow(*MORE_VARIANTS)])
def test_a_trace_computes_what_the_model_computes(
    make: Callable[..., Any], architecture: str, changes: dict[str, Any]
) -> None:
    """Also where rows have padding; the model is not changed."""
    model = make(architecture, **changes)
    graph, _ = nnx.split(model, graph=True)
    traced = trace(model, SOURCE, TARGET)
    assert nnx.split(model, graph=True)[0] == graph

    @jax.jit
    def compute(source_BS: jax.Array, input_BT: jax.Array) -> Any:
        memory = model.encode(source_BS)
        decoded = model.decode(memory, input_BT)
        return model.logits(decoded.hidden_BTD), memory.attention | decoded.attention

    expected, attention = compute(SOURCE, decoder_inputs(jnp.asarray(TARGET)))
    largest = float(jnp.abs(expected).max())
    for row, length in enumerate((3, 4)):
        logits = traced["logits"][row, :length]
        np.testing.assert_allclose(logits, expected[row, :length], rtol=1e-5, atol=1e-6 * largest)
    for name, weights in attention.items():
        kind, layer = name.split("/")
        stack = {"cross": f"decoder/{layer}/cross_attention"}.get(kind, f"{name}/self_attention")
        np.testing.assert_allclose(traced[f"{stack}/weights"][1, :, :3], weights[1, :, :3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("norm", "residual"), [("post", True), *slow(("pre", True), ("none", True), ("post", False))])
def test_the_parts_of_a_transformer_sum_to_the_whole(make: Callable[..., Any], norm: str, residual: bool) -> None:
    model = make("transformer", **ONE_LAYER, norm=norm, residual=residual)
    traced = trace(model, SOURCE, TARGET)
    for stack in ("encoder", "decoder"):
        stream = traced[f"{stack}/embedding"]
        for number, layer in enumerate(getattr(model, stack)):
            kinds = ("self_attention", "cross_attention", "feed_forward")[:: 1 if stack == "decoder" else 2]
            for kind in kinds:
                name, sublayer = f"{stack}/{number}/{kind}", getattr(layer, f"{kind}_sublayer")
                if kind != "feed_forward":
                    bias = getattr(layer, kind).to_output.bias[...]
                    heads = traced[f"{name}/heads"].sum(axis=2) + bias[None, None]
                    np.testing.assert_allclose(heads, traced[f"{name}/output"], rtol=1e-5, atol=1e-5)
                total = traced[f"{name}/output"] + residual * stream
                stream = sublayer.norm(total) if norm == "post" else total
                after = f"{stack}/{number}/residual" if kind == "feed_forward" else f"{name}/residual"
                np.testing.assert_allclose(stream, traced[after], rtol=1e-4, atol=1e-4)
        name = f"{stack}/0/self_attention"
        np.testing.assert_allclose(
            np.einsum("bhts,bshu->bthu", traced[f"{name}/weights"], traced[f"{name}/value"]),
            traced[f"{name}/context"],
            rtol=1e-4,
            atol=1e-5,
        )


def test_the_parts_of_a_recurrent_model_sum_to_the_whole(make: Callable[..., Any]) -> None:
    traced = trace(make("rnnsearch"), SOURCE, TARGET)
    annotations = np.concatenate([traced["encoder/forward/hidden"], traced["encoder/backward/hidden"]], axis=-1)
    np.testing.assert_allclose(annotations[0], traced["encoder/output"][0], rtol=1e-6)
    weights = traced["decoder/0/cross_attention/weights"]
    context = np.einsum("bhts,bsu->bthu", weights, traced["encoder/output"])
    np.testing.assert_allclose(context, traced["decoder/0/cross_attention/context"], rtol=1e-4, atol=1e-5)
    terms = np.sum([traced[f"decoder/output/from_{term}"] for term in ("state", "token", "context")], axis=0)
    maxout = terms.reshape(*terms.shape[:-1], -1, 2).max(axis=-1)
    np.testing.assert_allclose(maxout, traced["decoder/output"], rtol=1e-5)
