"""The one place where names become objects: a `ModelSpec` in, a model out."""

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers import recurrent
from transformer.layers.attention import (
    Attention,
    Dot,
    Largest,
    LearnedDot,
    MultiHeadAttention,
    Rotate,
    Scores,
)
from transformer.layers.embedding import BiasedOutput, Embedding
from transformer.layers.feed_forward import FeedForward, GatedFeedForward, absent
from transformer.layers.fused_attention import CUDNN, SPLASH, Kernel, KernelAttention
from transformer.layers.layer_norm import LayerNorm, RMSNorm
from transformer.layers.linear import Linear, Unbiased
from transformer.layers.positions import Learned, Nothing, Sinusoids
from transformer.layers.scores import Additive
from transformer.layers.sublayer import Sublayer
from transformer.models import rnnsearch, seq2seq
from transformer.models.interface import Seq2Seq
from transformer.models.transformer import LastLayer, Parts, Transformer, each_layer
from transformer.ops import attention_cudnn, masks, positions, segments
from transformer.ops.attention import Weigh, sigmoid, softmax, uniform
from transformer.spec import ModelSpec

Value = TypeVar("Value")


def _identity(x: jax.Array) -> jax.Array:
    return x


FEED_FORWARDS: dict[str, Callable[..., nnx.Module]] = {  # by model.activation
    "relu": functools.partial(FeedForward, activation=jax.nn.relu),
    "gelu": functools.partial(FeedForward, activation=functools.partial(jax.nn.gelu, approximate=False)),
    "swish": functools.partial(FeedForward, activation=jax.nn.swish),
    "swiglu": GatedFeedForward,
}
NORMS: dict[str, Callable[[int], Callable[[jax.Array], jax.Array]]] = {"layer": LayerNorm, "rms": RMSNorm}
TARGET_MASKS = {True: masks.no_future, False: masks.no_padding}  # by model.causal_mask
SOURCE_ORDERS = {False: _identity, True: seq2seq.reverse}  # by model.reverse_source


def _sinusoids(spec: ModelSpec, rngs: nnx.Rngs) -> Sinusoids:
    del rngs
    return Sinusoids(spec.d_model)


def _learned(spec: ModelSpec, rngs: nnx.Rngs) -> Learned:
    return Learned(spec.d_model, spec.max_positions, rngs=rngs)


def _nothing(spec: ModelSpec, rngs: nnx.Rngs) -> Nothing:
    del rngs
    return Nothing(spec.d_model)


# What is added to embeddings, and what is done to queries and keys.
POSITIONS: dict[str, tuple[Callable[[ModelSpec, nnx.Rngs], Callable[[jax.Array], jax.Array]], Rotate]] = {
    "sinusoid": (_sinusoids, positions.unrotated),
    "learned": (_learned, positions.unrotated),
    "rotary": (_nothing, positions.rotary),
    "none": (_nothing, positions.unrotated),
}


def _weigh(spec: ModelSpec) -> Weigh:
    named = {"softmax": softmax, "sigmoid": sigmoid, "uniform": uniform, "top_k": Largest(spec.top_k)}
    return choose("model.weights", spec.weights, named)


def _memories(spec: ModelSpec) -> Callable[[list[jax.Array]], list[jax.Array]]:
    named = {"last": LastLayer(spec.decoder_layers), "each": each_layer}
    return choose("model.cross_memory", spec.cross_memory, named)


def _dot(spec: ModelSpec, rngs: nnx.Rngs) -> Scores:
    del rngs
    usual = 1 / math.sqrt(spec.key_size)
    named = {"sqrt_d_k": Dot(usual), "none": Dot(1.0), "learned": LearnedDot(spec.heads, usual)}
    try:
        return Dot(1 / float(spec.score_scale))
    except ValueError:
        return choose("model.score_scale", spec.score_scale, named, "or a number")
    except ZeroDivisionError:
        raise ValueError("model.score_scale: nothing can be divided by 0") from None


def _additive(spec: ModelSpec, rngs: nnx.Rngs) -> Scores:
    return Additive(spec.heads, spec.key_size, rngs=rngs)


SCORES: dict[str, Callable[[ModelSpec, nnx.Rngs], Scores]] = {"dot": _dot, "additive": _additive}


def _attention(spec: ModelSpec, scores: str, rngs: nnx.Rngs, causal: bool = False) -> Attention:
    make = choose("model.attention_kernel", spec.attention_kernel, KERNELS)
    return make(spec, choose("model.cross_score", scores, SCORES)(spec, rngs), causal)


def _reference(spec: ModelSpec, scores: Scores, causal: bool) -> Attention:
    del causal
    return Attention(scores, _weigh(spec))


def _cudnn(spec: ModelSpec, scores: Scores, causal: bool) -> Attention:
    """Refuses what would never be computed by the kernel, whatever the device."""
    named, widths = "model.attention_kernel=cudnn", (spec.key_size, spec.value_size)
    if spec.dtype != "bfloat16":
        raise ValueError(f"{named} multiplies 16 bits, not {spec.dtype}; set model.dtype=bfloat16 or the kernel to xla")
    if widths[0] != widths[1] or widths[0] % attention_cudnn.UNIT or widths[0] > attention_cudnn.WIDEST:
        raise ValueError(
            f"{named} has heads of equal key and value widths, multiples of {attention_cudnn.UNIT} up to {attention_cudnn.WIDEST}, not "
            f"{widths[0]} and {widths[1]}; change model.heads, model.d_k or model.d_v, or set the kernel to xla"
        )
    return _by_kernel(spec, scores, causal, CUDNN)


def _by_kernel(spec: ModelSpec, scores: Scores, causal: bool, kernel: Kernel) -> Attention:
    """Attention by a kernel, which computes Eq. 1 and nothing else."""
    named = f"model.attention_kernel={spec.attention_kernel}"
    for name, usual in (("weights", "softmax"), ("dropout_attention", 0.0)):
        if (value := getattr(spec, name)) != usual:
            raise ValueError(f"{named} has no model.{name}={value}; set it to {usual}, or the kernel to xla")
    if not isinstance(scores, Dot):
        raise ValueError(
            f"{named} has dot products times a number as scores, not model.score_scale=learned or "
            "model.cross_score=additive; set the kernel to xla"
        )
    return KernelAttention(scores, causal, kernel)


# By model.attention_kernel.
KERNELS: dict[str, Callable[[ModelSpec, Scores, bool], Attention]] = {
    "xla": _reference,
    "splash": functools.partial(_by_kernel, kernel=SPLASH),
    "cudnn": _cudnn,
}


def choose(key: str, name: str, choices: dict[str, Value], more: str = "") -> Value:
    """`choices[name]`, or a ValueError that names the config's `key` and what it can be."""
    if name not in choices:
        raise ValueError(f"{key}: {name!r} is none of {', '.join([*choices, *([more] if more else [])])}")
    return choices[name]


def _embeddings(
    spec: ModelSpec, vocab_size: int, output_size: int, rngs: nnx.Rngs
) -> tuple[Embedding, Embedding, Embedding | BiasedOutput]:
    """Of source, target and output: three, or one three times; the output's perhaps with biases."""
    source, target, output = _tables(spec, vocab_size, output_size, rngs)
    return source, target, BiasedOutput(output, vocab_size) if spec.output_bias else output


def _tables(spec: ModelSpec, vocab_size: int, output_size: int, rngs: nnx.Rngs) -> list[Embedding]:
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


def _transformer(spec: ModelSpec, vocab_size: int, rngs: nnx.Rngs, packed: bool = False) -> Transformer:
    _without(spec, "d_state", "d_maxout", "reverse_source", "init_range")
    if spec.cross_memory == "each" and spec.encoder_layers != spec.decoder_layers:
        raise ValueError(
            f"model.cross_memory=each: {spec.encoder_layers} encoder layers cannot be read by {spec.decoder_layers} "
            "decoder layers one by one; set model.encoder_layers and model.decoder_layers alike"
        )
    dtype = jnp.dtype(spec.dtype)
    places = {
        "encoder": choose("model.positions", spec.positions, POSITIONS),
        "decoder": choose("model.decoder_positions", spec.decoder_positions or spec.positions, POSITIONS),
    }

    def attention(scores: str, rotate: Rotate, rngs: nnx.Rngs, causal: bool = False) -> MultiHeadAttention:
        inner = _attention(spec, scores, rngs, causal)
        sizes = (spec.d_model, spec.heads, spec.key_size, spec.value_size)
        return MultiHeadAttention(*sizes, attention=inner, rotate=rotate, dtype=dtype, rngs=rngs)

    def feed_forward(rngs: nnx.Rngs) -> Callable[..., jax.Array]:
        make: Any = choose("model.activation", spec.activation, FEED_FORWARDS)
        return make(spec.d_model, spec.d_ff, dtype=dtype, rngs=rngs) if spec.feed_forward else absent

    norm = functools.partial(choose("model.norm_kind", spec.norm_kind, NORMS), spec.d_model)
    parts = Parts(
        self_attention=lambda stack, rngs: attention(
            "dot", places[stack][1], rngs, causal=stack == "decoder" and spec.causal_mask
        ),
        cross_attention=functools.partial(attention, spec.cross_score, positions.unrotated),
        feed_forward=feed_forward,
        sublayer=lambda kind: Sublayer(spec.wiring(kind), norm),
        final_norm=norm if spec.final_norm else lambda: _identity,
        positions=lambda stack, rngs: places[stack][0](spec, rngs),
        memories=_memories(spec),
        target_mask=TARGET_MASKS[spec.causal_mask],
        places=segments.packed if packed else segments.alone,
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

    options: dict[str, Any] = {"dtype": jnp.dtype(spec.dtype), "rngs": rngs, "kernel_init": initial.kernel}
    to = functools.partial(Linear, bias_init=initial.bias, **options)
    to_unbiased = functools.partial(Unbiased, **options)
    parts = rnnsearch.Parts(
        encoder=recurrent.Bidirectional(*(_recurrent(spec, spec.d_model, rngs) for _ in range(2))),
        cell=cell,
        attention=_attention(spec, spec.cross_score, rngs),
        to_first=to(state, state),
        to_query=to_unbiased(state, spec.key_size),
        to_key=to(annotation, spec.key_size),
        token_to_gates=to(spec.d_model, cell.gates * state),
        context_to_gates=to_unbiased(annotation, cell.gates * state),
        state_to_output=to(state, 2 * spec.maxout_size),
        token_to_output=to_unbiased(spec.d_model, 2 * spec.maxout_size),
        context_to_output=to_unbiased(annotation, 2 * spec.maxout_size),
    )
    return rnnsearch.RNNSearch(parts, *_embeddings(spec, vocab_size, spec.maxout_size, rngs))


ARCHITECTURES: dict[str, Callable[[ModelSpec, int, nnx.Rngs], nnx.Module]] = {
    "transformer": _transformer,
    "rnnsearch": _rnnsearch,
    "seq2seq": _seq2seq,
}


def build(spec: ModelSpec, vocab_size: int, key: jax.Array, packed: bool = False) -> Seq2Seq:
    """Makes the model that `spec` describes, with initial parameters drawn from `key`.

    Args:
      spec: the model.
      vocab_size: words.
      key: a typed random key.
      packed: rows may hold several sentences, one after the other; a Transformer alone keeps them apart.

    Raises:
      ValueError: a name that is not known, or numbers that do not fit together.
    """
    make = choose("model.architecture", spec.architecture, ARCHITECTURES)
    if spec.attention_kernel != "xla" and spec.architecture != "transformer":
        raise ValueError(
            f"model.attention_kernel: {spec.attention_kernel} changes nothing in a {spec.architecture} model; set xla"
        )
    if packed and spec.architecture != "transformer":
        raise ValueError(f"rows of several sentences: a {spec.architecture} model would read each as one")
    rngs = nnx.Rngs(params=key)
    if packed:
        return _transformer(spec, vocab_size, rngs, packed=True)
    return make(spec, vocab_size, rngs)  # type: ignore[return-value]
