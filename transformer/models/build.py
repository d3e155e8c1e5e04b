"""Builds a model from a `ModelSpec`: maps names of settings to objects, those of attention in `build_attention.py`."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers import lora, recurrent
from transformer.layers.attention import Attention, MultiHeadAttention, Rotate, cancels_key_bias
from transformer.layers.embedding import BiasedOutput, Embedding
from transformer.layers.feed_forward import FeedForward, GatedFeedForward, no_feed_forward
from transformer.layers.layer_norm import LayerNorm, RMSNorm
from transformer.layers.linear import OUTPUT, Linear, LinearWithoutBias
from transformer.layers.positions import (
    DistanceScore,
    LearnedPositions,
    LinearBiases,
    NoPositions,
    RelativeKeys,
    SinusoidPositions,
)
from transformer.layers.scores import DotScore, Score
from transformer.layers.sublayer import Sublayer
from transformer.models import rnnsearch, seq2seq
from transformer.models.build_attention import choose, make_attention
from transformer.models.interface import Seq2Seq
from transformer.models.layer_stack import LayerList, LayerScan, OnParams
from transformer.models.transformer import Components, Transformer, each_encoder_layer, last_encoder_layer
from transformer.ops import masks, positions, segments
from transformer.spec import ModelSpec

Value = TypeVar("Value")


def _identity(x: Any) -> Any:
    return x


FEED_FORWARDS: dict[str, Callable[..., nnx.Module]] = {  # by model.activation
    "relu": functools.partial(FeedForward, activation=jax.nn.relu),
    "gelu": functools.partial(FeedForward, activation=functools.partial(jax.nn.gelu, approximate=False)),
    "swish": functools.partial(FeedForward, activation=jax.nn.swish),
    "swiglu": GatedFeedForward,
    "tanh_glu": functools.partial(GatedFeedForward, activation=jnp.tanh),
}
NORMS: dict[str, Callable[[int], Callable[[jax.Array], jax.Array]]] = {"layer": LayerNorm, "rms": RMSNorm}
TARGET_MASKS = {True: masks.causal_from_ids, False: masks.padding_from_ids}  # by model.causal_mask
CROSS_MEMORIES = {"last": last_encoder_layer, "each": each_encoder_layer}  # by model.cross_memory
_REMATS: dict[str, Callable[..., Any]] = {  # by model.remat
    "none": lambda function, prevent_cse: function,
    # JAX's policy for matmuls does not see those of `ops.matmul`, which have custom gradients.
    "dots": functools.partial(jax.checkpoint, policy=jax.checkpoint_policies.save_only_these_names(OUTPUT)),
    "full": jax.checkpoint,
}
SOURCE_ORDERS = {False: _identity, True: seq2seq.reverse}  # by model.reverse_source


def _sinusoids(spec: ModelSpec, rngs: nnx.Rngs) -> SinusoidPositions:
    del rngs
    return SinusoidPositions(spec.d_model)


def _learned(spec: ModelSpec, rngs: nnx.Rngs) -> LearnedPositions:
    return LearnedPositions(spec.d_model, spec.max_positions, rngs=rngs)


def _no_positions(spec: ModelSpec, rngs: nnx.Rngs) -> NoPositions:
    del rngs
    return NoPositions(spec.d_model)


def _linear_biases(spec: ModelSpec, scores: Score, rngs: nnx.Rngs) -> LinearBiases:
    del scores, rngs
    return LinearBiases(spec.heads)


def _relative_keys(spec: ModelSpec, scores: Score, rngs: nnx.Rngs) -> RelativeKeys:
    if not isinstance(scores, DotScore):
        raise ValueError(
            f"model.positions=relative adds vectors to the keys of dot products, not of {scores.formula} "
            f"({scores.name}); set model.score=dot and a fixed model.score_scale, or other positions"
        )
    return RelativeKeys(spec.key_size, scores.scale, rngs=rngs)


class _Positions(NamedTuple):
    """A kind of positions: what is added to embeddings, how queries and keys rotate, what is added to scores."""

    added: Callable[[ModelSpec, nnx.Rngs], Callable[[jax.Array], jax.Array]]
    rotate: Rotate = positions.no_rotation
    distance_score: Callable[[ModelSpec, Score, nnx.Rngs], DistanceScore] | None = None


POSITIONS: dict[str, _Positions] = {  # by model.positions and model.decoder_positions
    "sinusoid": _Positions(_sinusoids),
    "learned": _Positions(_learned),
    "rotary": _Positions(_no_positions, rotate=positions.rotary),
    "alibi": _Positions(_no_positions, distance_score=_linear_biases),
    "relative": _Positions(_no_positions, distance_score=_relative_keys),
    "none": _Positions(_no_positions),
}


def _embeddings(
    spec: ModelSpec, vocab_size: int, output_size: int, rngs: nnx.Rngs
) -> tuple[Embedding, Embedding, Embedding | BiasedOutput]:
    """Makes the embeddings of source, target and output: three, or the same one three times if they are tied."""
    source, target, output = _tables(spec, vocab_size, output_size, rngs)
    return source, target, BiasedOutput(output, vocab_size) if spec.output_bias else output


def _tables(spec: ModelSpec, vocab_size: int, output_size: int, rngs: nnx.Rngs) -> list[Embedding]:
    scale = math.sqrt(spec.d_model) if spec.scale_embeddings else 1.0
    initializer = None if spec.init_range is None else recurrent.uniform_initializers(spec.init_range).kernel

    def embedding(width: int) -> Embedding:
        dtype = jnp.dtype(spec.dtype)
        return Embedding(vocab_size, width, scale=scale, dtype=dtype, rngs=rngs, initializer=initializer)

    if not spec.tie_embeddings:
        return [embedding(width) for width in (spec.d_model, spec.d_model, output_size)]
    if output_size != spec.d_model:
        raise ValueError(
            f"model.tie_embeddings: embeddings of width model.d_model={spec.d_model} cannot score an output of width "
            f"{output_size}; set both to one width, or model.tie_embeddings=False"
        )
    return [embedding(spec.d_model)] * 3


def _stack(spec: ModelSpec, on_params: OnParams) -> Callable[[list[nnx.Module]], LayerList | LayerScan]:
    # XLA merges equal computations of a program, recomputed ones too, unless `jax.checkpoint` prevents it; a loop does.
    remat = functools.partial(_REMATS[spec.remat], prevent_cse=not spec.scan_layers)
    if spec.scan_layers:
        return functools.partial(LayerScan, remat=remat, on_params=on_params)
    return functools.partial(LayerList, remat=remat)


def _transformer(
    spec: ModelSpec,
    vocab_size: int,
    rngs: nnx.Rngs,
    *,
    packed: bool = False,
    chunked_cache: bool = False,
    on_params: OnParams = _identity,
) -> Transformer:
    _reject_unused(spec, "d_state", "d_maxout", "reverse_source", "init_range")
    if spec.cross_memory == "each" and spec.encoder_layers != spec.decoder_layers:
        raise ValueError(
            f"model.cross_memory=each: {spec.encoder_layers} encoder layers cannot be read by {spec.decoder_layers} "
            "decoder layers; set model.encoder_layers and model.decoder_layers to the same number"
        )
    dtype = jnp.dtype(spec.dtype)
    stack_positions = {
        "encoder": choose("model.positions", spec.positions, POSITIONS),
        "decoder": choose("model.decoder_positions", spec.decoder_positions or spec.positions, POSITIONS),
    }

    def multi_head(attention: Attention, rotate: Rotate, rngs: nnx.Rngs) -> MultiHeadAttention:
        sizes = (spec.d_model, spec.heads, spec.key_size, spec.value_size)
        options: dict[str, Any] = {"dtype": dtype, "chunked_cache": chunked_cache, "rngs": rngs}
        train_key_bias = not cancels_key_bias(attention, rotate)
        return MultiHeadAttention(*sizes, attention=attention, rotate=rotate, train_key_bias=train_key_bias, **options)

    def self_attention(stack: str, rngs: nnx.Rngs) -> MultiHeadAttention:
        kind, causal = stack_positions[stack], stack == "decoder" and spec.causal_mask
        attention = make_attention(spec, rngs, causal=causal, distance_score=kind.distance_score)
        return multi_head(attention, kind.rotate, rngs)

    def cross_attention(rngs: nnx.Rngs) -> MultiHeadAttention:
        return multi_head(make_attention(spec, rngs, cross=True), positions.no_rotation, rngs)

    def feed_forward(rngs: nnx.Rngs) -> Callable[..., jax.Array]:
        make: Any = choose("model.activation", spec.activation, FEED_FORWARDS)
        return make(spec.d_model, spec.d_ff, dtype=dtype, rngs=rngs) if spec.feed_forward else no_feed_forward

    norm = functools.partial(choose("model.norm_kind", spec.norm_kind, NORMS), spec.d_model)
    components = Components(
        self_attention=self_attention,
        cross_attention=cross_attention,
        feed_forward=feed_forward,
        sublayer=lambda kind: Sublayer(spec.wiring(kind), norm),
        final_norm=norm if spec.final_norm else lambda: _identity,
        positions=lambda stack, rngs: stack_positions[stack].added(spec, rngs),
        cross_memories=choose("model.cross_memory", spec.cross_memory, CROSS_MEMORIES),
        target_mask=TARGET_MASKS[spec.causal_mask],
        layout=segments.packed if packed else segments.one_per_row,
        stack=_stack(spec, on_params),
        encoder_layers=spec.encoder_layers,
        decoder_layers=spec.decoder_layers,
    )
    return Transformer(components, *_embeddings(spec, vocab_size, spec.d_model, rngs), rngs=rngs)


def _initializers(spec: ModelSpec) -> recurrent.Initializers:
    if spec.init_range is None:
        return recurrent.DEFAULT_INITIALIZERS
    return recurrent.uniform_initializers(spec.init_range)


def _cell(spec: ModelSpec, rngs: nnx.Rngs) -> recurrent.LSTMCell | recurrent.GRUCell:
    make = choose("model.cell", spec.cell, recurrent.CELLS)
    return make(spec.state_size, initializers=_initializers(spec), dtype=jnp.dtype(spec.dtype), rngs=rngs)


def _recurrent(spec: ModelSpec, in_features: int, rngs: nnx.Rngs) -> recurrent.Recurrent:
    return recurrent.Recurrent(in_features, _cell(spec, rngs), initializers=_initializers(spec), rngs=rngs)


def _reject_unused(spec: ModelSpec, *names: str) -> None:
    """Raises ValueError for settings that have no effect."""
    for name in names:
        if value := getattr(spec, name):
            raise ValueError(f"model.{name}: {value} changes nothing in a {spec.architecture} model; leave it out")


def _seq2seq(spec: ModelSpec, vocab_size: int, rngs: nnx.Rngs) -> seq2seq.SequenceToSequence:
    _reject_unused(spec, "d_maxout", "dropout_attention", "dropout_feed_forward")
    if spec.encoder_layers != spec.decoder_layers:
        raise ValueError(
            f"model.encoder_layers: {spec.encoder_layers} last states cannot initialise model.decoder_layers="
            f"{spec.decoder_layers} layers"
        )

    def stack() -> list[recurrent.Recurrent]:
        widths = [spec.d_model] + [spec.state_size] * (spec.encoder_layers - 1)
        return [_recurrent(spec, width, rngs) for width in widths]

    return seq2seq.SequenceToSequence(
        stack(), stack(), SOURCE_ORDERS[spec.reverse_source], *_embeddings(spec, vocab_size, spec.state_size, rngs)
    )


def _rnnsearch(spec: ModelSpec, vocab_size: int, rngs: nnx.Rngs) -> rnnsearch.RNNSearch:
    _reject_unused(spec, "reverse_source", "dropout_attention", "dropout_feed_forward")
    for name in ("heads", "encoder_layers", "decoder_layers"):
        if getattr(spec, name) != 1:
            raise ValueError(f"model.{name}: {getattr(spec, name)}, but model.architecture=rnnsearch has one; set 1")
    initializers, state, annotation = _initializers(spec), spec.state_size, 2 * spec.state_size
    cell = _cell(spec, rngs)

    options: dict[str, Any] = {"dtype": jnp.dtype(spec.dtype), "rngs": rngs, "kernel_init": initializers.kernel}
    linear = functools.partial(Linear, bias_init=initializers.bias, **options)
    linear_without_bias = functools.partial(LinearWithoutBias, **options)
    attention = make_attention(spec, rngs, cross=True)
    layers = rnnsearch.RNNSearchLayers(
        encoder=recurrent.Bidirectional(*(_recurrent(spec, spec.d_model, rngs) for _ in range(2))),
        cell=cell,
        attention=attention,
        to_first=linear(state, state),
        to_query=linear_without_bias(state, spec.key_size),
        to_key=linear(annotation, spec.key_size, train_bias=not cancels_key_bias(attention)),
        token_to_gates=linear(spec.d_model, cell.gates * state),
        context_to_gates=linear_without_bias(annotation, cell.gates * state),
        state_to_output=linear(state, 2 * spec.maxout_size),
        token_to_output=linear_without_bias(spec.d_model, 2 * spec.maxout_size),
        context_to_output=linear_without_bias(annotation, 2 * spec.maxout_size),
    )
    return rnnsearch.RNNSearch(layers, *_embeddings(spec, vocab_size, spec.maxout_size, rngs))


ARCHITECTURES: dict[str, Callable[..., Any]] = {  # by model.architecture
    "transformer": _transformer,
    "rnnsearch": _rnnsearch,
    "seq2seq": _seq2seq,
}


def build(
    spec: ModelSpec,
    vocab_size: int,
    key: jax.Array,
    *,
    packed: bool = False,
    chunked_cache: bool = False,
    on_params: OnParams = _identity,
) -> Seq2Seq:
    """Makes the model of `spec`, with initial parameters drawn from `key`.

    Args:
      spec: settings of the model.
      vocab_size: number of tokens in the vocabulary.
      key: typed random key.
      packed: whether rows may hold several sentences, which attention then separates; only for a Transformer.
      chunked_cache: whether a search splits its KV cache into chunks and skips those that are still empty; faster on a
        CPU. See `kv_cache.init_cache`.
      on_params: applied to the parameters of each layer within the loop of `model.scan_layers`.

    Raises:
      ValueError: an unknown name, or settings that contradict each other.
    """
    make = choose("model.architecture", spec.architecture, ARCHITECTURES)
    rngs = nnx.Rngs(params=key)
    if spec.attention_kernel != "xla" and spec.architecture != "transformer":
        raise ValueError(
            f"model.attention_kernel: {spec.attention_kernel} changes nothing in a {spec.architecture} model; set xla"
        )
    if packed and spec.architecture != "transformer":
        raise ValueError(f"packed rows: a {spec.architecture} model reads each row as one sentence; set packed=False")
    options = {"packed": packed, "chunked_cache": chunked_cache, "on_params": on_params}
    model = make(spec, vocab_size, rngs, **options if make is _transformer else {})
    if spec.lora_rank is not None:
        lora.adapt(model, spec.lora_rank, spec.lora_patterns, rngs=rngs)
    return model


def abstract_model(
    spec: ModelSpec,
    vocab_size: int,
    *,
    packed: bool = False,
    chunked_cache: bool = False,
    on_params: OnParams = _identity,
) -> Seq2Seq:
    """Makes the model of `build` with shapes and dtypes instead of parameters."""

    def make() -> Any:
        options: Any = {"packed": packed, "chunked_cache": chunked_cache, "on_params": on_params}
        return build(spec, vocab_size, jax.random.key(0), **options)

    # Tied embeddings are one module at three paths, which Flax's tree mode rejects.
    return nnx.eval_shape(make, graph=True, graph_updates=True)
