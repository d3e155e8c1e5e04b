"""Traces attention: the queries, keys, values and scores of every head while a model processes one sentence pair.

Models do not record these arrays. In a copy of the model, a recorder replaces each `Attention`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from transformer.analysis.forced_decoding import kind_and_layer, teacher_forcing_inputs
from transformer.layers.attention import Attention, MultiHeadAttention
from transformer.models.interface import Seq2Seq
from transformer.ops.attention import attend, softmax
from transformer.ops.dropout import Dropout
from transformer.ops.masks import Mask, materialise


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


_Record = dict[str, jax.Array]  # arrays of one call


class _Recorder:
    """Replaces an attention, computes it with the reference implementation and records the arrays of each call."""

    def __init__(self, attention: Attention) -> None:
        self.attention, self.weights_fn = attention, attention.weights_fn
        self.records: list[_Record] = []

    def scores(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> jax.Array:
        """Returns the scores of the replaced attention; a term for distances is a part of the raw score."""
        attention = self.attention
        raw_BHTS, factor_H = attention.scores.terms(query_BTHK, key_BSHK)
        scores_BHTS = attention.scores(query_BTHK, key_BSHK)
        if attention.distance_score is not None:
            positions = (jnp.arange(query_BTHK.shape[1]), jnp.arange(key_BSHK.shape[1]))
            term = attention.distance_score(query_BTHK, *positions)
            raw_BHTS, scores_BHTS = raw_BHTS + term / factor_H[None, :, None, None], scores_BHTS + term
        self.records.append({"query": query_BTHK, "key": key_BSHK, "raw": raw_BHTS, "factor": factor_H})
        return scores_BHTS

    def __call__(
        self,
        query_BTHK: jax.Array,
        key_BSHK: jax.Array,
        value_BSHU: jax.Array,
        mask: Mask,
        dropout: Dropout | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        scores_BHTS = self.scores(query_BTHK, key_BSHK)
        self.records[-1]["value"] = value_BSHU
        return attend(scores_BHTS, value_BSHU, materialise(mask), dropout, self.weights_fn)


def trace_attention(model: Seq2Seq, source: Sequence[int], target: Sequence[int]) -> dict[str, AttentionTrace]:
    """Traces every attention of a model for a pair, by the names of `forced_decoding.PairOutputs.attention`.

    The result is empty for a model without attention.

    Args:
      model: an NNX module; it is not changed.
      source: ids without EOS.
      target: ids with EOS.
    """
    graph, state = nnx.split(cast(nnx.Module, model), graph=True)
    source_BS, input_BT = teacher_forcing_inputs(source, target)
    copy: Any = nnx.merge(graph, state)
    recorders, multi_head = _insert_recorders(copy)
    if multi_head:

        @jax.jit
        def record(state: Any, source_BS: jax.Array, input_BT: jax.Array) -> dict[str, list[_Record]]:
            copy: Any = nnx.merge(graph, state)
            recorders, _ = _insert_recorders(copy)
            copy.decode(copy.encode(source_BS), input_BT)
            return {name: recorder.records for name, recorder in recorders.items()}

        records = record(state, source_BS, input_BT)
    else:  # a recurrent decoder's `decode` is one compiled loop, but its steps are separate calls
        memory = copy.encode(source_BS)
        decode_state = copy.start(memory, 1, len(target))
        for position in range(len(target)):
            token_BN = input_BT[:, position : position + 1]
            _, decode_state = copy.step(decode_state, token_BN, jnp.asarray(position, jnp.int32))
        records = {name: recorder.records for name, recorder in recorders.items()}
        for steps in records.values():
            steps[0]["value"] = memory.states_BSD[:, :, None]  # the annotations
    return {name: _to_trace(recorders[name].attention, records[name]) for name in sorted(recorders, key=kind_and_layer)}


def _insert_recorders(model: Any) -> tuple[dict[str, _Recorder], bool]:
    """Replaces every attention by a recorder; also returns whether all of them belong to multi-head attention."""
    recorders: dict[str, _Recorder] = {}
    multi_head = True
    for path, module in list(nnx.iter_modules(model, graph=True)):
        if isinstance(module, Attention):
            parent = _submodule(model, path[:-1])
            multi_head &= isinstance(parent, MultiHeadAttention)
            recorder = recorders[_attention_name(path)] = _Recorder(module)
            delattr(parent, str(path[-1]))
            setattr(parent, str(path[-1]), recorder)
    return recorders, multi_head


def _submodule(module: Any, path: Sequence[Any]) -> Any:
    for part in path:
        module = module[part] if isinstance(part, int) else getattr(module, part)
    return module


def _attention_name(path: Sequence[Any]) -> str:
    """("decoder", 1, "cross_attention", "attention") is "cross/1"; a model's only attention is "cross/0"."""
    if len(path) == 1:
        return "cross/0"
    stack, layer, kind, *_ = path
    return f"{'cross' if kind == 'cross_attention' else stack}/{layer}"


def _to_trace(attention: Attention, records: Sequence[_Record]) -> AttentionTrace:
    """Makes a trace from one record, or from one record per step of a recurrent decoder."""
    first, scores = records[0], attention.scores
    query_THK = jnp.concatenate([record["query"][0] for record in records])
    raw_HTS = jnp.concatenate([record["raw"][0] for record in records], axis=1)
    arrays = (query_THK, first["key"][0], first["value"][0], raw_HTS, first["factor"])
    query, key, value, raw, factor = (np.asarray(array, np.float32) for array in arrays)
    texts = (scores.name, scores.formula, scores.raw_formula)
    if attention.distance_score is not None:
        term = attention.distance_score.name
        texts = (f"{scores.name}, {term}", f"{scores.formula} + ({term})", f"{scores.raw_formula} + ({term}) / scale")
    return AttentionTrace(query, key, value, raw, factor, *texts, attention.weights_fn is softmax)
