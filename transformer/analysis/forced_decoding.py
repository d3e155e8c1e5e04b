"""One sentence pair as a model reads it: every attention there is, and how probable each token was."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from transformer.models.interface import Seq2Seq
from transformer.spec import BOS, EOS

KINDS = ("encoder", "decoder", "cross")  # of attention, in the order in which a model computes them


class Reading(NamedTuple):
    """What a teacher-forced pass over one pair shows.

    Row t of "cross/..." and "decoder/..." is where the model looks to predict token t of the target; a column of
    "decoder/..." is a token that it has read, BOS first.
    """

    attention: dict[str, np.ndarray]  # "encoder/0": float32 [H, S, S], "decoder/0": [H, T, T], "cross/0": [H, T, S]
    log_probability_T: np.ndarray  # natural logarithm, of each target token given those before it
    likely: np.ndarray  # int32 [T, top], the most probable tokens at each place, best first
    likely_log_probability: np.ndarray  # [T, top]


def kind_and_layer(name: str) -> tuple[int, int]:
    """What the names of attention are sorted by: the place of "cross" in `KINDS`, and the layer's number.

    In an ensemble a member's number stands before them, as in "1/cross/0".
    """
    kind, layer = name.split("/")[-2:]
    return KINDS.index(kind), int(layer)


def head_counts(model: Seq2Seq) -> dict[str, int]:
    """The heads of every attention of a model, by name, sorted; nothing is computed."""

    def shapes(ids: jax.Array) -> dict[str, jax.Array]:
        memory = model.encode(ids)
        return memory.attention | model.decode(memory, ids).attention

    found = jax.eval_shape(shapes, jax.ShapeDtypeStruct((1, 1), jnp.int32))
    return {name: found[name].shape[1] for name in sorted(found, key=kind_and_layer)}


def teacher_forced(source: Sequence[int], target: Sequence[int]) -> tuple[jax.Array, jax.Array]:
    """source_BS with EOS, and input_BT that begins with BOS, of one pair: what `encode` and `decode` read.

    Args:
      source: ids without EOS, which is added.
      target: ids with EOS.
    """
    return jnp.array([[*source, EOS]], jnp.int32), jnp.array([[BOS, *target[:-1]]], jnp.int32)


class Looks(NamedTuple):
    """As `Reading`, of a batch, and with padding."""

    attention: dict[str, jax.Array]
    log_probability_BT: jax.Array
    likely: jax.Array  # [B, T, top]
    likely_log_probability: jax.Array  # [B, T, top]


def looks(model: Seq2Seq, source_BS: jax.Array, input_BT: jax.Array, target_BT: jax.Array, top: int) -> Looks:
    """What a teacher-forced pass over a batch shows; pure, to be called inside `jax.jit`."""
    memory = model.encode(source_BS)
    decoded = model.decode(memory, input_BT)
    log_BTV = jax.nn.log_softmax(model.logits(decoded.hidden_BTD))
    best, likely = jax.lax.top_k(log_BTV, min(top, log_BTV.shape[-1]))
    return Looks(memory.attention | decoded.attention, _at(log_BTV, target_BT), likely, best)


def read(model: Seq2Seq, source: Sequence[int], target: Sequence[int], top: int = 5) -> Reading:
    """Reads one pair with a model that is an NNX module; `source` without EOS, `target` with it.

    Raises:
      ValueError: the target is empty.
    """
    if not target:
        raise ValueError("no target token to read")
    source_BS, input_BT = teacher_forced(source, target)
    target_BT = jnp.array([target], jnp.int32)

    # Parameters are an argument: as constants of the program they would take long to compile.
    graph, state = nnx.split(cast(nnx.Module, model))

    @jax.jit
    def run(state: Any, source_BS: jax.Array, input_BT: jax.Array, target_BT: jax.Array) -> Looks:
        return looks(cast(Any, nnx.merge(graph, state)), source_BS, input_BT, target_BT, top)

    return one(run(state, source_BS, input_BT, target_BT), 0, source_BS.shape[1], len(target))


def one(found: Looks, row: int, source: int, target: int) -> Reading:
    """The reading of one row, of so many tokens, without padding."""
    ends = {"encoder": (source, source), "decoder": (target, target), "cross": (target, source)}
    attention = {}
    for name in sorted(found.attention, key=kind_and_layer):
        rows, columns = ends[name.split("/")[-2]]
        attention[name] = np.asarray(found.attention[name], np.float32)[row, :, :rows, :columns]
    return Reading(attention, *(np.asarray(each)[row, :target] for each in found[1:]))


def _at(log_TV: jax.Array, target_T: jax.Array) -> jax.Array:
    return jnp.take_along_axis(log_TV, target_T[..., None], axis=-1)[..., 0]


def log_probabilities(model: Seq2Seq, source_BS: jax.Array, input_BT: jax.Array, target_BT: jax.Array) -> jax.Array:
    """log_BT: of each target token given the source and the tokens before it; padding has values, too."""
    decoded = model.decode(model.encode(source_BS), input_BT)
    return _at(jax.nn.log_softmax(model.logits(decoded.hidden_BTD)), target_BT)
