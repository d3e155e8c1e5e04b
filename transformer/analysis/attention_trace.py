"""Attention score by score: the queries, keys and values of every head for one sentence pair, as the model has them.

The model is not asked to keep them. A copy of it gets, in the place of each `Attention`, one that notes what passes
through it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from transformer.analysis.forced_decoding import kind_and_layer, teacher_forced
from transformer.layers.attention import Attention, Dot, LearnedDot, MultiHeadAttention
from transformer.layers.scores import Additive
from transformer.models.interface import Seq2Seq
from transformer.ops.attention import attend, softmax
from transformer.ops.dropout import Dropout


class Inside(NamedTuple):
    """What one attention computes for one pair: score(query, key) → weights → weights · value.

    With kind "dot" a score is scale · query·key; with "additive", vector · tanh(query + key).
    """

    query_THK: np.ndarray
    key_SHK: np.ndarray
    value_SHU: np.ndarray
    scores_HTS: np.ndarray  # what the weights are made of, before the mask
    kind: str  # "dot" or "additive"
    scale_H: np.ndarray  # of "dot"; ones else
    vector_HK: np.ndarray  # of "additive"; ones else
    softmax: bool  # whether weights are a softmax of the scores


_Notes = list[dict[str, jax.Array]]


class _Noted:
    """Computes what an attention does, by the reference path, and notes what passes through."""

    def __init__(self, inner: Attention) -> None:
        self.inner, self.weigh = inner, inner.weigh
        self.notes: _Notes = []

    def scores(self, query_BTHK: jax.Array, key_BSHK: jax.Array) -> jax.Array:
        """Of the attention in whose place this stands."""
        scores_BHTS = self.inner.scores(query_BTHK, key_BSHK)
        self.notes.append({"query": query_BTHK, "key": key_BSHK, "scores": scores_BHTS})
        return scores_BHTS

    def __call__(
        self,
        query_BTHK: jax.Array,
        key_BSHK: jax.Array,
        value_BSHU: jax.Array,
        mask: jax.Array,
        dropout: Dropout | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        scores_BHTS = self.scores(query_BTHK, key_BSHK)
        self.notes[-1]["value"] = value_BSHU
        return attend(scores_BHTS, value_BSHU, mask, dropout, self.weigh)


def look_inside(model: Seq2Seq, source: Sequence[int], target: Sequence[int]) -> dict[str, Inside]:
    """What every attention of a model computes while it reads a pair, by the names that `reading.read` gives.

    A model without attention gives nothing.

    Args:
      model: an NNX module; it is left as it is.
      source: ids without EOS.
      target: ids with EOS.
    """
    graph, state = nnx.split(cast(nnx.Module, model))
    source_BS, input_BT = teacher_forced(source, target)
    copy: Any = nnx.merge(graph, state)
    noted, multi_head = _noting(copy)
    if multi_head:

        @jax.jit
        def run(state: Any, source_BS: jax.Array, input_BT: jax.Array) -> dict[str, _Notes]:
            copy: Any = nnx.merge(graph, state)
            noted, _ = _noting(copy)
            copy.decode(copy.encode(source_BS), input_BT)
            return {name: each.notes for name, each in noted.items()}

        notes = run(state, source_BS, input_BT)
    else:  # a recurrent decoder's pass is one compiled loop, but its steps are not
        memory = copy.encode(source_BS)
        decoding = copy.start(memory, 1, len(target))
        for place in range(len(target)):
            _, decoding = copy.step(decoding, input_BT[:, place : place + 1], jnp.asarray(place, jnp.int32))
        notes = {name: each.notes for name, each in noted.items()}
        for each in notes.values():
            each[0]["value"] = memory.states_BSD[:, :, None]  # the annotations
    return {name: _gathered(noted[name], notes[name]) for name in sorted(noted, key=kind_and_layer)}


def _noting(model: Any) -> tuple[dict[str, _Noted], bool]:
    """Puts a `_Noted` in the place of every attention; also says whether all are multi-head attention's."""
    noted: dict[str, _Noted] = {}
    multi_head = True
    for path, module in list(nnx.iter_modules(model)):
        if isinstance(module, Attention):
            owner = _at(model, path[:-1])
            multi_head &= isinstance(owner, MultiHeadAttention)
            noted[_name(path)] = _Noted(module)
            delattr(owner, str(path[-1]))
            setattr(owner, str(path[-1]), noted[_name(path)])
    return noted, multi_head


def _at(module: Any, path: Sequence[Any]) -> Any:
    for part in path:
        module = module[part] if isinstance(part, int) else getattr(module, part)
    return module


def _name(path: Sequence[Any]) -> str:
    """("decoder", 1, "cross_attention", "attention") is "cross/1"; a model's only attention is "cross/0"."""
    if len(path) == 1:
        return "cross/0"
    stack, layer, kind, *_ = path
    return f"{'cross' if kind == 'cross_attention' else stack}/{layer}"


def _gathered(noted: _Noted, notes: _Notes) -> Inside:
    """One note, or of a decoder that goes step by step one each step."""
    scores, heads = noted.inner.scores, notes[0]["query"].shape[2]
    scale: Any = scores.scale if isinstance(scores, Dot) else 1.0
    if isinstance(scores, LearnedDot):
        scale = scores.scale_H[...]
    additive = isinstance(scores, Additive)
    vector_HK = scores.vector_HK[...] if additive else jnp.ones((heads, 1))

    def array(x: jax.Array) -> np.ndarray:
        return np.asarray(x, np.float32)

    return Inside(
        query_THK=array(jnp.concatenate([note["query"][0] for note in notes])),
        key_SHK=array(notes[0]["key"][0]),
        value_SHU=array(notes[0]["value"][0]),
        scores_HTS=array(jnp.concatenate([note["scores"][0] for note in notes], axis=1)),
        kind="additive" if additive else "dot",
        scale_H=array(jnp.broadcast_to(jnp.asarray(scale), (heads,))),
        vector_HK=array(vector_HK),
        softmax=noted.weigh is softmax,
    )
