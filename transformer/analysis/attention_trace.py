"""Traces attention: the queries, keys, values and scores of every head while a model processes one sentence pair."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
import numpy as np
from flax import nnx

from transformer.analysis.forced_decoding import kind_and_layer
from transformer.analysis.tracing import Activations, trace
from transformer.layers.attention import Attention
from transformer.models.interface import Seq2Seq
from transformer.ops.attention import softmax
from transformer.spec import EOS


class AttentionTrace(NamedTuple):
    """What one attention computes for one pair; float32.

    A score is raw · factor. Weights are computed from the scores, and the context is weights · value.
    """

    query_THK: np.ndarray
    key_SHK: np.ndarray
    value_SHU: np.ndarray
    raw_HTS: np.ndarray  # scores before scaling and before the mask
    factor_H: np.ndarray  # scale of each head; ones if the score has no scale
    score: str  # name of the score function, such as "dot"
    formula: str  # of the score, such as "q·k · scale"
    raw_formula: str  # of the raw score, such as "q·k"
    softmax: bool  # whether the weights are a softmax of the scores


def trace_attention(model: Seq2Seq, source: Sequence[int], target: Sequence[int]) -> dict[str, AttentionTrace]:
    """Traces every attention of a model for a pair, by the names of `forced_decoding.PairOutputs.attention`.

    The result is empty for a model without attention.

    Args:
      model: an NNX module; it is not changed.
      source: ids without EOS.
      target: ids with EOS.
    """
    paths = {
        path: module
        for path, module in nnx.iter_modules(cast(nnx.Module, model), graph=True)
        if isinstance(module, Attention)
    }
    if not paths:
        return {}
    activations = trace(model, [[*source, EOS]], [target])
    traces = {_name(path): _trace(attention, path, activations) for path, attention in paths.items()}
    return {name: traces[name] for name in sorted(traces, key=kind_and_layer)}


def _name(path: Sequence[Any]) -> str:
    """("decoder", 1, "cross_attention", "attention") is "cross/1"; a model's only attention is "cross/0"."""
    if len(path) == 1:
        return "cross/0"
    stack, layer, kind, *_ = path
    return f"{'cross' if kind == 'cross_attention' else stack}/{layer}"


def _trace(attention: Attention, path: Sequence[Any], activations: Activations) -> AttentionTrace:
    scores, distances = attention.scores, attention.distance_score
    if len(path) == 1:  # RNNsearch, whose values are the annotations
        prefix, value_BSHU = "decoder/0/cross_attention", activations["encoder/output"][:, :, None]
    else:
        prefix = "/".join(map(str, path[:-1]))
        value_BSHU = activations[f"{prefix}/value"]
    query_BTHK, key_BSHK = activations[f"{prefix}/query"], activations[f"{prefix}/key"]
    raw_BHTS, factor_H = scores.terms(query_BTHK, key_BSHK)
    texts = (scores.name, scores.formula, scores.raw_formula)
    if distances is not None:
        term_BHTS = distances(query_BTHK, jnp.arange(query_BTHK.shape[1]), jnp.arange(key_BSHK.shape[1]))
        raw_BHTS += term_BHTS / factor_H[None, :, None, None]
        term = distances.name
        texts = (f"{scores.name}, {term}", f"{scores.formula} + ({term})", f"{scores.raw_formula} + ({term}) / scale")
    arrays = (query_BTHK[0], key_BSHK[0], value_BSHU[0], raw_BHTS[0], factor_H)
    query, key, value, raw, factor = (np.asarray(array, np.float32) for array in arrays)
    return AttentionTrace(query, key, value, raw, factor, *texts, attention.weights_fn is softmax)
