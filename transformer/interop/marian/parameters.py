"""Converts parameters between Marian's names, layout and channel order and ours.

Marian's matrices are the transposes of ours. Its sinusoids are all sines and then all cosines; ours interleave them, as
in the paper. So the channels of a vector of width D are permuted, and the conversion permutes every axis of width D.
Everything else is equal, and so are the logits.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from transformer.spec import BOS, EOS, PAD, UNK, ModelSpec

Arrays = dict[str, np.ndarray]  # by name; our names are paths with dots

BIAS, OUTPUT, TARGET = "final_logits_bias", "lm_head.weight", "model.decoder.embed_tokens.weight"
# Output bias of a token that Marian does not have: it is never an output, and label smoothing keeps a finite loss.
_ABSENT_BIAS = -100.0

_LINEAR = {"q_proj": "to_query", "k_proj": "to_key", "v_proj": "to_value", "out_proj": "to_output"}
_ATTENTION = {"self_attn": "self_attention", "encoder_attn": "cross_attention"}
_TIED = (("model.shared.weight", "embed_source.table_VD"),)
_UNTIED = (
    ("model.encoder.embed_tokens.weight", "embed_source.table_VD"),
    (TARGET, "embed_target.table_VD"),
    (OUTPUT, "output.table_VD"),
)


class Pairing(NamedTuple):
    """The two names of a parameter.

    Attributes:
      theirs: its name in Marian.
      ours: its name in this codebase.
      axes: of our array; D is the model's width, whose channels Marian permutes; V is the vocabulary.
    """

    theirs: str
    ours: str
    axes: str


def pairings(spec: ModelSpec) -> Iterator[Pairing]:
    """Yields all parameters of a model that Marian can express, except the output's biases."""
    for theirs, ours in _TIED if spec.tie_embeddings else _UNTIED:
        # An output with biases is a module with a table and biases.
        biased = spec.output_bias and ours.startswith("output.")
        yield Pairing(theirs, ours.replace("output.", "output.embedding.") if biased else ours, "VD")
    stacks = (("encoder", spec.encoder_layers, 1), ("decoder", spec.decoder_layers, 2))
    for stack, layers, attentions in stacks:
        for number in range(layers):
            for theirs, ours, axes in _layer(attentions):
                yield Pairing(f"model.{stack}.layers.{number}.{theirs}", f"{stack}.{number}.{ours}", axes)


def _layer(attentions: int) -> Iterator[tuple[str, str, str]]:
    for theirs, ours in list(_ATTENTION.items())[:attentions]:
        for their_linear, our_linear in _LINEAR.items():
            axes = "HD" if our_linear == "to_output" else "DH"
            yield from _linear(f"{theirs}.{their_linear}", f"{ours}.{our_linear}", axes)
        yield from _norm(f"{theirs}_layer_norm", f"{ours}_sublayer.norm")
    yield from _linear("fc1", "feed_forward.inner", "DF")
    yield from _linear("fc2", "feed_forward.outer", "FD")
    yield from _norm("final_layer_norm", "feed_forward_sublayer.norm")


def _linear(theirs: str, ours: str, axes: str) -> Iterator[tuple[str, str, str]]:
    yield f"{theirs}.weight", f"{ours}.kernel", axes
    yield f"{theirs}.bias", f"{ours}.bias", axes[1]


def _norm(theirs: str, ours: str) -> Iterator[tuple[str, str, str]]:
    yield f"{theirs}.weight", f"{ours}.scale_D", "D"
    yield f"{theirs}.bias", f"{ours}.bias_D", "D"


def channel_order(d_model: int) -> np.ndarray:
    """Returns the index of each Marian channel among ours: first the even ones, sines, then the odd ones, cosines."""
    return np.concatenate([np.arange(0, d_model, 2), np.arange(1, d_model, 2)])


def sinusoids(positions: int, d_model: int) -> np.ndarray:
    """Returns Marian's position table, float32 [positions, D]."""
    channel = np.arange(d_model)
    angle = np.arange(positions)[:, None] / 10000.0 ** ((channel - channel % 2) / d_model)[None, :]
    return np.where(channel % 2 == 0, np.sin(angle), np.cos(angle))[:, channel_order(d_model)].astype(np.float32)


def _is_matrix(pairing: Pairing) -> bool:
    return pairing.ours.endswith(".kernel")


def to_marian(params: Mapping[str, np.ndarray], spec: ModelSpec) -> Arrays:
    """Converts our flat parameters to Marian's, float32 by name.

    `spec` must pass `settings.check_expressible`. Token ids do not change.
    """
    theirs: Arrays = {}
    width = channel_order(spec.d_model)
    for pairing in pairings(spec):
        array = np.asarray(params[pairing.ours], np.float32)
        if "D" in pairing.axes:
            array = np.take(array, width, axis=pairing.axes.index("D"))
        theirs[pairing.theirs] = np.ascontiguousarray(array.T if _is_matrix(pairing) else array)
    vocabulary = len(params["embed_source.table_VD"])
    bias_V = params["output.bias_V"] if spec.output_bias else np.zeros(vocabulary, np.float32)
    theirs[BIAS] = np.asarray(bias_V, np.float32).reshape(1, -1)
    return theirs


def from_marian(theirs: Mapping[str, np.ndarray], spec: ModelSpec, row_V: np.ndarray) -> dict[str, Any]:
    """Converts Marian's parameters to ours, a nested dict.

    Args:
      theirs: Marian's parameters by name.
      spec: settings of the model; `output_bias` specifies whether its output has biases.
      row_V: from `token_map`.

    Raises:
      ValueError: a parameter is missing, has another shape, or is unknown; the message names it.
    """
    ours: Arrays = {}
    unused = dict(theirs)
    width = np.argsort(channel_order(spec.d_model))
    for pairing in pairings(spec):
        if pairing.theirs not in theirs:
            raise ValueError(f"parameter {pairing.theirs} is missing")
        array = np.asarray(unused.pop(pairing.theirs), np.float32)
        array = array.T if _is_matrix(pairing) else array
        if len(array.shape) != len(pairing.axes):
            raise ValueError(f"parameter {pairing.theirs} has {len(array.shape)} axes, not {len(pairing.axes)}")
        _check_sizes(pairing, array, spec)
        if "D" in pairing.axes:
            array = np.take(array, width, axis=pairing.axes.index("D"))
        ours[pairing.ours] = _rows(array, row_V, 0.0) if "V" in pairing.axes else np.ascontiguousarray(array)
    bias_V = np.asarray(unused.pop(BIAS, np.zeros(row_V.max() + 1)), np.float32).reshape(-1)
    if spec.output_bias:
        ours["output.bias_V"] = _rows(bias_V, row_V, _ABSENT_BIAS)
    _check_unused(unused, theirs, spec)
    return traverse_util.unflatten_dict(ours, sep=".")


def _check_sizes(pairing: Pairing, array: np.ndarray, spec: ModelSpec) -> None:
    sizes = {"D": spec.d_model, "F": spec.d_ff, "H": spec.d_model}
    for axis, size in zip(pairing.axes, array.shape, strict=True):
        if size != sizes.get(axis, size):
            raise ValueError(f"parameter {pairing.theirs} has an axis of size {size}, not {sizes[axis]}")


def _rows(array: np.ndarray, row_V: np.ndarray, absent: float) -> np.ndarray:
    """Returns the rows of a table in our order; a row that Marian does not have is filled with `absent`."""
    rows = array[np.maximum(row_V, 0)].copy()
    rows[row_V < 0] = absent
    return rows


def _check_unused(unused: Arrays, theirs: Mapping[str, np.ndarray], spec: ModelSpec) -> None:
    """Raises ValueError for parameters without a pairing, except copies of shared embeddings and sinusoids."""
    for name, array in unused.items():
        if name.endswith(".embed_positions.weight"):
            if not np.allclose(array, sinusoids(*array.shape), atol=1e-3):
                raise ValueError(f"parameter {name}: these positions are not sinusoids; no setting expresses them")
        elif not (spec.tie_embeddings and name in dict(_UNTIED)):
            raise ValueError(f"parameter {name}: no setting of this project expresses it")
        elif not np.array_equal(array, theirs["model.shared.weight"]):
            raise ValueError(f"parameter {name} differs from model.shared.weight, although config.json shares them")


def token_map(vocabulary: int, pad: int, start: int, eos: int, unk: int) -> np.ndarray:
    """Returns row_V, Marian's token id of each of our ids; -1 if Marian has no such token.

    PAD, BOS, EOS and UNK come first, then all other tokens in Marian's order. Marian models usually start decoding with
    their padding symbol. That symbol becomes our BOS, and our PAD is a token that Marian does not have.
    """
    special = {PAD: pad if pad != start else -1, BOS: start, EOS: eos, UNK: unk}
    first = [special[token] for token in sorted(special)]
    return np.array([*first, *(token for token in range(vocabulary) if token not in first)])
