"""Forced decoding of sentence pairs: the weights of every attention, and the probability of each target token."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from transformer.models.interface import Seq2Seq
from transformer.spec import BOS, EOS

KINDS = ("encoder", "decoder", "cross")  # of attention, in the order in which a model computes them


class PairOutputs(NamedTuple):
    """Outputs of a teacher-forced pass over one pair.

    Row t of "cross/..." and "decoder/..." holds the weights with which the model predicts token t of the target. A
    column of "decoder/..." is a decoder input; BOS is the first.
    """

    attention: dict[str, np.ndarray]  # "encoder/0": float32 [H, S, S], "decoder/0": [H, T, T], "cross/0": [H, T, S]
    log_probability_T: np.ndarray  # natural logarithm, of each target token given those before it
    top_tokens: np.ndarray  # int32 [T, top], the most probable tokens at each position, best first
    top_log_probability: np.ndarray  # [T, top]


class ForcedOutputs(NamedTuple):
    """The fields of `PairOutputs` for a batch, with padding."""

    attention: dict[str, jax.Array]
    log_probability_BT: jax.Array
    top_tokens: jax.Array  # [B, T, top]
    top_log_probability: jax.Array  # [B, T, top]


def kind_and_layer(name: str) -> tuple[int, int]:
    """Sort key of attention names: the index of the kind in `KINDS`, and the layer's number.

    In an ensemble the number of the member precedes them, as in "1/cross/0".
    """
    kind, layer = name.split("/")[-2:]
    return KINDS.index(kind), int(layer)


def head_counts(model: Seq2Seq) -> dict[str, int]:
    """Returns the number of heads of every attention by name, sorted, from shapes only."""

    def weights(ids: jax.Array) -> dict[str, jax.Array]:
        memory = model.encode(ids)
        return memory.attention | model.decode(memory, ids).attention

    shapes = jax.eval_shape(weights, jax.ShapeDtypeStruct((1, 1), jnp.int32))
    return {name: shapes[name].shape[1] for name in sorted(shapes, key=kind_and_layer)}


def teacher_forcing_inputs(source: Sequence[int], target: Sequence[int]) -> tuple[jax.Array, jax.Array]:
    """Returns source_BS with EOS, and input_BT that begins with BOS; `source` comes without EOS, `target` with it."""
    return jnp.array([[*source, EOS]], jnp.int32), jnp.array([[BOS, *target[:-1]]], jnp.int32)


def forced_outputs(
    model: Seq2Seq, source_BS: jax.Array, input_BT: jax.Array, target_BT: jax.Array, top: int
) -> ForcedOutputs:
    """Computes the outputs of a teacher-forced pass over a batch; pure, to be called inside `jax.jit`."""
    memory = model.encode(source_BS)
    decoded = model.decode(memory, input_BT)
    log_BTV = jax.nn.log_softmax(model.logits(decoded.hidden_BTD))
    top_log_probability, top_tokens = jax.lax.top_k(log_BTV, min(top, log_BTV.shape[-1]))
    log_probability_BT = _select(log_BTV, target_BT)
    return ForcedOutputs(memory.attention | decoded.attention, log_probability_BT, top_tokens, top_log_probability)


def decode_pair(model: Seq2Seq, source: Sequence[int], target: Sequence[int], top: int = 5) -> PairOutputs:
    """Computes the outputs of one pair with a model that is an NNX module; `source` without EOS, `target` with it.

    Raises:
      ValueError: the target is empty.
    """
    if not target:
        raise ValueError("no target token to decode")
    source_BS, input_BT = teacher_forcing_inputs(source, target)
    target_BT = jnp.array([target], jnp.int32)

    # Parameters are an argument: as constants of the program they would take long to compile.
    graph, state = nnx.split(cast(nnx.Module, model), graph=True)

    @jax.jit
    def outputs(state: Any, source_BS: jax.Array, input_BT: jax.Array, target_BT: jax.Array) -> ForcedOutputs:
        return forced_outputs(cast(Any, nnx.merge(graph, state)), source_BS, input_BT, target_BT, top)

    return unpad_row(outputs(state, source_BS, input_BT, target_BT), 0, source_BS.shape[1], len(target))


def unpad_row(outputs: ForcedOutputs, row: int, source: int, target: int) -> PairOutputs:
    """Returns the outputs of one row without padding; `source` and `target` are its numbers of tokens."""
    sizes = {"encoder": (source, source), "decoder": (target, target), "cross": (target, source)}
    attention = {}
    for name in sorted(outputs.attention, key=kind_and_layer):
        rows, columns = sizes[name.split("/")[-2]]
        attention[name] = np.asarray(outputs.attention[name], np.float32)[row, :, :rows, :columns]
    return PairOutputs(attention, *(np.asarray(field)[row, :target] for field in outputs[1:]))


def _select(log_TV: jax.Array, target_T: jax.Array) -> jax.Array:
    return jnp.take_along_axis(log_TV, target_T[..., None], axis=-1)[..., 0]


def target_log_probabilities(
    model: Seq2Seq, source_BS: jax.Array, input_BT: jax.Array, target_BT: jax.Array
) -> jax.Array:
    """Returns log_BT, of each target token given the source and the tokens before it; padding has values, too."""
    decoded = model.decode(model.encode(source_BS), input_BT)
    return _select(jax.nn.log_softmax(model.logits(decoded.hidden_BTD)), target_BT)
