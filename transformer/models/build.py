"""The one place where names become objects: a `ModelSpec` in, a model out."""

import functools
import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers import recurrent
from transformer.layers.additive import Additive
from transformer.layers.attention import Attention, DotProduct, MultiHeadAttention
from transformer.layers.embedding import Embedding
from transformer.layers.feed_forward import FeedForward
from transformer.layers.layer_norm import LayerNorm
from transformer.layers.sublayer import Sublayer
from transformer.models import rnnsearch, seq2seq
from transformer.models.interface import Seq2Seq
from transformer.models.transformer import Parts, Transformer
from transformer.ops import positions
from transformer.spec import ModelSpec

Value = TypeVar("Value")


def _identity(x: jax.Array) -> jax.Array:
    return x


SCORE_SCALES: dict[str, Callable[[int], float]] = {  # of d_k; Section 3.2.1
    "sqrt_d_k": lambda d_k: 1 / math.sqrt(d_k),
    "none": lambda d_k: 1.0,
}
POSITIONS = {"sinusoid": positions.sinusoid, "none": positions.none}
ACTIVATIONS = {"relu": jax.nn.relu, "gelu": jax.nn.gelu}
SOURCE_ORDERS = {False: _identity, True: seq2seq.reverse}  # by model.reverse_source


def _dot(spec: ModelSpec, rngs: nnx.Rngs) -> Attention:
    return DotProduct(choose("model.score_scale", spec.score_scale, SCORE_SCALES)(spec.key_size))


def _additive(spec: ModelSpec, rngs: nnx.Rngs) -> Attention:
    return Additive(spec.heads, spec.key_size, rngs=rngs)


SCORES: dict[str, Callable[[ModelSpec, nnx.Rngs], Attention]] = {"dot": _dot, "additive": _additive}


def choose(key: str, name: str, choices: dict[str, Value]) -> Value:
    """`choices[name]`, or a ValueError that names the config's `key` and what it can be."""
    if name not in choices:
        raise ValueError(f"{key}: {name!r} is none of {', '.join(choices)}")
    return choices[name]


def _embeddings(spec: ModelSpec, vocab_size: int, output_size: int, rngs: nnx.Rngs) -> list[Embedding]:
    """Of source, target and output: three, or one three times."""
    scale = math.sqrt(spec.d_model) if spec.scale_embeddings else 1.0
    initial = None if spec.init_range is None else recurrent.uniform(spec.init_range).kernel

    def embedding(width: int) -> Embedding:
        return Embedding(vocab_size, width, scale=scale, dtype=jnp.dtype(spec.dtype), rngs=rngs, initial=initial)

    if not spec.tie_embeddings:
        return [embedding(width) for width in (spec.d_model, spec.d_model, output_size)]
    if output_size != spec.d_model:
        raise ValueError(
            f"model.tie_embeddings: embeddings of width model.d_model={spec.d_model} cannot score an output of width "
            f"{output_size}; set the two alike, or model.tie_embeddings=False"
        )
    return [embedding(spec.d_model)] * 3


def _transformer(spec: ModelSpec, vocab_size: int, rngs: nnx.Rngs) -> Transformer:
    _without(spec, "d_state", "d_maxout", "reverse_source", "init_range")
    dtype = jnp.dtype(spec.dtype)

    def attention(scores: str) -> Callable[[nnx.Rngs], MultiHeadAttention]:
        make = choose("model.cross_score", scores, SCORES)
        return lambda rngs: MultiHeadAttention(
            spec.d_model,
            spec.heads,
            spec.key_size,
            spec.value_size,
            attention=make(spec, rngs),
            dtype=dtype,
            rngs=rngs,
        )

    parts = Parts(
        d_model=spec.d_model,
        self_attention=attention("dot"),
        cross_attention=attention(spec.cross_score),
        feed_forward=lambda rngs: FeedForward(
            spec.d_model,
            spec.d_ff,
            activation=choose("model.activation", spec.activation, ACTIVATIONS),
            dtype=dtype,
            rngs=rngs,
        ),
        sublayer=functools.partial(Sublayer, spec.d_model, spec.wiring),
        final_norm=functools.partial(LayerNorm, spec.d_model) if spec.final_norm else lambda: _identity,
        positions=choose("model.positions", spec.positions, POSITIONS),
        encoder_layers=spec.encoder_layers,
        decoder_layers=spec.decoder_layers,
    )
    return Transformer(parts, *_embeddings(spec, vocab_size, spec.d_model, rngs), rngs=rngs)


def _initial(spec: ModelSpec) -> recurrent.Initial:
    return recurrent.USUAL if spec.init_range is None else recurrent.uniform(spec.init_range)


def _cell(spec: ModelSpec, rngs: nnx.Rngs) -> recurrent.LSTMCell | recurrent.GRUCell:
    make = choose("model.cell", spec.cell, recurrent.CELLS)
    return make(spec.state_size, initial=_initial(spec), dtype=jnp.dtype(spec.dtype), rngs=rngs)


def _recurrent(spec: ModelSpec, inputs: int, rngs: nnx.Rngs) -> recurrent.Recurrent:
    return recurrent.Recurrent(inputs, _cell(spec, rngs), initial=_initial(spec), rngs=rngs)


def _without(spec: ModelSpec, *names: str) -> None:
    """Refuses settings that would change nothing."""
    for name in names:
        if value := getattr(spec, name):
            raise ValueError(f"model.{name}: {value} changes nothing in a {spec.architecture} model; leave it out")


def _seq2seq(spec: ModelSpec, vocab_size: int, rngs: nnx.Rngs) -> seq2seq.SequenceToSequence:
    _without(spec, "d_maxout", "dropout_attention", "dropout_feed_forward")
    if spec.encoder_layers != spec.decoder_layers:
        raise ValueError(
            f"model.encoder_layers: {spec.encoder_layers} last states cannot start model.decoder_layers="
            f"{spec.decoder_layers} layers"
        )

    def stack() -> list[recurrent.Recurrent]:
        widths = [spec.d_model] + [spec.state_size] * (spec.encoder_layers - 1)
        return [_recurrent(spec, width, rngs) for width in widths]

    return seq2seq.SequenceToSequence(
        stack(),
        stack(),
        SOURCE_ORDERS[spec.reverse_source],
        *_embeddings(spec, vocab_size, spec.state_size, rngs),
    )


def _rnnsearch(spec: ModelSpec, vocab_size: int, rngs: nnx.Rngs) -> rnnsearch.RNNSearch:
    _without(spec, "reverse_source", "dropout_attention", "dropout_feed_forward")
    for name in ("heads", "encoder_layers", "decoder_layers"):
        if getattr(spec, name) != 1:
            raise ValueError(f"model.{name}: {getattr(spec, name)}, but model.architecture=rnnsearch has one; set 1")
    initial, state, annotation = _initial(spec), spec.state_size, 2 * spec.state_size
    cell = _cell(spec, rngs)

    def linear(inputs: int, outputs: int, bias: bool = True) -> nnx.Linear:
        return nnx.Linear(
            inputs,
            outputs,
            use_bias=bias,
            kernel_init=initial.kernel,
            bias_init=initial.bias,
            dtype=jnp.dtype(spec.dtype),
            rngs=rngs,
        )

    parts = rnnsearch.Parts(
        encoder=recurrent.Bidirectional(*(_recurrent(spec, spec.d_model, rngs) for _ in range(2))),
        cell=cell,
        attention=choose("model.cross_score", spec.cross_score, SCORES)(spec, rngs),
        to_first=linear(state, state),
        to_query=linear(state, spec.key_size, bias=False),
        to_key=linear(annotation, spec.key_size),
        token_to_gates=linear(spec.d_model, cell.gates * state),
        context_to_gates=linear(annotation, cell.gates * state, bias=False),
        state_to_output=linear(state, 2 * spec.maxout_size),
        token_to_output=linear(spec.d_model, 2 * spec.maxout_size, bias=False),
        context_to_output=linear(annotation, 2 * spec.maxout_size, bias=False),
    )
    return rnnsearch.RNNSearch(parts, *_embeddings(spec, vocab_size, spec.maxout_size, rngs))


ARCHITECTURES: dict[str, Callable[[ModelSpec, int, nnx.Rngs], nnx.Module]] = {
    "transformer": _transformer,
    "rnnsearch": _rnnsearch,
    "seq2seq": _seq2seq,
}


def build(spec: ModelSpec, vocab_size: int, key: jax.Array) -> Seq2Seq:
    """Makes the model that `spec` describes, with initial parameters drawn from `key`.

    Raises:
      ValueError: a name that is not known, or numbers that do not fit together.
    """
    make = choose("model.architecture", spec.architecture, ARCHITECTURES)
    return make(spec, vocab_size, nnx.Rngs(params=key))  # type: ignore[return-value]
