"""Compares outputs and gradients of a module with those of PyTorch for the same parameters and inputs."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, traverse_util

from configs import base
from transformer.layers.recurrent import GRUCarry, LSTMCarry
from transformer.models.build import abstract_model
from transformer.ops import masks
from transformer.ops.losses import cross_entropy
from transformer.spec import Spec

Arrays = dict[str, np.ndarray]
Params = dict[str, Any]  # by path

VOCABULARY, SMOOTHING = 13, 0.1
SPEC = dataclasses.replace(
    Spec.from_config(base.get_config().to_dict()).model,
    d_model=10,
    d_ff=11,
    heads=2,
    encoder_layers=1,
    decoder_layers=1,
    dropout_embedding=0.0,
    dropout_sublayer=0.0,
)

RECURRENT = dataclasses.replace(SPEC, architecture="seq2seq", d_state=6, tie_embeddings=False)
SPECS = {"lstm": RECURRENT, "gru": dataclasses.replace(RECURRENT, cell="gru")}

# PyTorch's names and ours. The sub-layer of a norm depends on the layer.
PARTS = {
    "self_attn": "self_attention",
    "multihead_attn": "cross_attention",
    "linear1": "feed_forward/inner",
    "linear2": "feed_forward/outer",
    "out_proj": "to_output",
    "table": "embed_source/table_VD",
    "encoder.norm": "encoder_norm",
    "decoder.norm": "decoder_norm",
}
SUBLAYERS = {
    "encoder": ["self_attention", "feed_forward"],
    "decoder": ["self_attention", "cross_attention", "feed_forward"],
}


def renamed(case: str, name: str) -> str:
    """Returns our path of a PyTorch parameter, except for the last component."""
    for theirs, ours in PARTS.items():
        name = name.replace(theirs, ours)
    stack = name if name.startswith(("encoder", "decoder")) else case
    for number, sublayer in enumerate(SUBLAYERS.get(stack[:7], []), start=1):
        name = name.replace(f"norm{number}", f"{sublayer}_sublayer/norm")
    return name.replace("layers.", "").replace(".", "/")


def to_ours(case: str, name: str, array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Converts a PyTorch parameter or its gradient to our parameters. PyTorch's matrices are transposed."""
    *owner, last = renamed(case, name).split("/")
    if last.startswith("in_proj"):  # query, key and value in one
        own = "kernel" if last.endswith("weight") else "bias"
        for part, each in zip(("to_query", "to_key", "to_value"), np.split(array, 3), strict=True):
            yield "/".join([*owner, part, own]), each.T
    elif "norm" in "/".join(owner):
        yield "/".join([*owner, {"weight": "scale_D", "bias": "bias_D"}[last]]), array
    elif last == "weight":
        yield "/".join([*owner, "kernel"]), array.T
    else:
        yield "/".join([*owner, last]), array


def loss(_: Any, logits: jax.Array, target_ids: jax.Array) -> dict[str, jax.Array]:
    weight_BT = (target_ids != 0).astype(jnp.float32)
    return {"loss": cross_entropy(logits, target_ids, weight_BT, jnp.float32(SMOOTHING)).loss}


def self_attention(module: Any, target: jax.Array, causal_mask: jax.Array) -> dict[str, jax.Array]:
    output, weights = module(target, module.keys_values(target), causal_mask[None, None])
    return {"output": output, "weights": weights}


def cross_attention(module: Any, target: jax.Array, source: jax.Array, source_mask: jax.Array) -> dict[str, jax.Array]:
    output, weights = module(target, module.keys_values(source), masks.padding(source_mask))
    return {"output": output, "weights": weights}


def encoder(module: Any, source: jax.Array, source_mask: jax.Array) -> dict[str, jax.Array]:
    return {"output": module(source, masks.padding(source_mask))[0]}


def decoder(module: Any, target: jax.Array, causal_mask: jax.Array, source: jax.Array, source_mask: jax.Array) -> Any:
    keys = module.cross_attention.keys_values(source)
    return {"output": module(target, causal_mask[None, None], keys, masks.padding(source_mask))[0]}


def model(module: Any, source_ids: jax.Array, shifted_ids: jax.Array, target_ids: jax.Array, **_: jax.Array) -> Any:
    """Runs a complete model, which makes its own masks."""
    logits = module.logits(module.decode(module.encode(source_ids), shifted_ids).hidden_BTD)
    return {"logits": logits} | loss(None, logits, target_ids)


def lstm(module: Any, source: jax.Array, source_mask: jax.Array, hidden: jax.Array, memory: jax.Array) -> Any:
    output, last = module(source, source_mask, LSTMCarry(hidden, memory))
    return {"output": output * source_mask[:, :, None], "last_hidden": last.hidden, "last_memory": last.cell}


def gru(module: Any, source: jax.Array, source_mask: jax.Array, hidden: jax.Array) -> Any:
    output, last = module(source, source_mask, GRUCarry(hidden))
    return {"output": output * source_mask[:, :, None], "last_hidden": last.hidden}


# A case's module, how to run it, and its tolerance.
CASES: dict[str, tuple[Callable[[Any], Any], Callable[..., Any], float]] = {
    "loss": (lambda _: nnx.List([]), loss, 1e-5),
    "self_attention": (lambda model: model.decoder[0].self_attention, self_attention, 1e-5),
    "cross_attention": (lambda model: model.decoder[0].cross_attention, cross_attention, 1e-5),
    "encoder": (lambda model: model.encoder[0], encoder, 1e-5),
    "decoder": (lambda model: model.decoder[0], decoder, 1e-5),
    "model": (lambda model: model, model, 1e-4),
    "lstm": (lambda model: model.encoder[0], lstm, 1e-5),
    "gru": (lambda model: model.encoder[0], gru, 1e-5),
}


@functools.cache
def outputs_and_gradients(case: str, norm: str) -> tuple[dict[str, tuple[int, ...]], Callable[..., Any]]:
    """Returns our parameters' shapes and a compiled function (params, floats, others, cotangents) → gradients, outputs.

    The gradients are of the outputs' inner product with `cotangents`, with respect to parameters and `floats`.
    """
    part, run, _ = CASES[case]
    spec = dataclasses.replace(SPECS.get(case, SPEC), norm=norm)
    graph, state = nnx.split(part(abstract_model(spec, VOCABULARY)), graph=True)
    leaves: dict[tuple, Any] = dict(traverse_util.flatten_dict(nnx.to_pure_dict(state)))
    paths = {"/".join(map(str, path)): path for path in leaves}

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # half the time to compile
    def compute(params: Params, floats: Arrays, others: Arrays, cotangents: Arrays) -> Any:
        def total(params: Params, floats: Arrays) -> Any:
            nested = traverse_util.unflatten_dict({path: params[name] for name, path in paths.items()})
            outputs = run(nnx.merge(graph, nnx.State(nested)), **(others | floats))
            return sum(jnp.sum(each * cotangents[name]) for name, each in outputs.items()), outputs

        return jax.grad(total, (0, 1), has_aux=True)(params, floats)

    return {name: leaves[path].shape for name, path in paths.items()}, compute


def by_kind(arrays: Arrays) -> dict[str, Arrays]:
    """Converts KIND/NAME → array to KIND → NAME → array."""
    kinds: dict[str, Arrays] = {}
    for key, array in arrays.items():
        kind, _, name = key.partition("/")
        kinds.setdefault(kind, {})[name] = array
    return kinds


@pytest.fixture(scope="session")
def compare() -> Callable[[str, Arrays], None]:
    """Asserts that a case equals PyTorch's; arrays are named KIND/NAME as in make_reference.py."""

    def check(name: str, arrays: Arrays) -> None:
        case, _, norm = name.rpartition("_") if name.endswith(("_post", "_pre")) else (name, "", "post")
        shapes, compute = outputs_and_gradients(case, norm)
        kinds = by_kind(arrays)
        expected = by_kind(kinds["gradient"]) | {"output": kinds["output"]}

        def mapped(named: Arrays) -> Params:
            return dict(pair for key, array in named.items() for pair in to_ours(case, key, array))

        params = mapped(kinds.get("parameter", {}))
        assert {path: array.shape for path, array in params.items()} == shapes
        floats = {key: each for key, each in kinds["input"].items() if each.dtype == np.float32}
        others = {key: each for key, each in kinds["input"].items() if key not in floats}
        (by_params, by_floats), outputs = compute(params, floats, others, kinds["cotangent"])
        close = functools.partial(np.testing.assert_allclose, rtol=CASES[case][2], atol=CASES[case][2])
        for actual, expected_arrays in [
            (outputs, expected["output"]),
            (by_params, mapped(expected.get("parameter", {}))),
            (by_floats, expected.get("input", {})),
        ]:
            assert set(actual) == set(expected_arrays)
            for key, array in expected_arrays.items():
                close(actual[key], array, err_msg=f"{name}: {key}")

    return check
