"""The one place where names become objects: a `ModelSpec` in, a model out."""

import functools
import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from transformer.layers.attention import MultiHeadAttention
from transformer.layers.embedding import Embedding
from transformer.layers.feed_forward import FeedForward
from transformer.layers.layer_norm import LayerNorm
from transformer.layers.sublayer import Sublayer
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


def choose(key: str, name: str, choices: dict[str, Value]) -> Value:
    """`choices[name]`, or a ValueError that names the config's `key` and what it can be."""
    if name not in choices:
        raise ValueError(f"{key}: {name!r} is none of {', '.join(choices)}")
    return choices[name]


def _transformer(spec: ModelSpec, vocab_size: int, rngs: nnx.Rngs) -> Transformer:
    dtype = jnp.dtype(spec.dtype)
    parts = Parts(
        d_model=spec.d_model,
        attention=lambda rngs: MultiHeadAttention(
            spec.d_model,
            spec.heads,
            spec.key_size,
            spec.value_size,
            scale=choose("model.score_scale", spec.score_scale, SCORE_SCALES)(spec.key_size),
            dtype=dtype,
            rngs=rngs,
        ),
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
    scale = math.sqrt(spec.d_model) if spec.scale_embeddings else 1.0

    def embedding() -> Embedding:
        return Embedding(vocab_size, spec.d_model, scale=scale, dtype=dtype, rngs=rngs)

    embeddings = [embedding()] * 3 if spec.tie_embeddings else [embedding() for _ in range(3)]
    return Transformer(parts, *embeddings, rngs=rngs)


ARCHITECTURES: dict[str, Callable[[ModelSpec, int, nnx.Rngs], nnx.Module]] = {"transformer": _transformer}


def build(spec: ModelSpec, vocab_size: int, key: jax.Array) -> Seq2Seq:
    """Makes the model that `spec` describes, with initial parameters drawn from `key`.

    Raises:
      ValueError: a name that is not known, or numbers that do not fit together.
    """
    make = choose("model.architecture", spec.architecture, ARCHITECTURES)
    return make(spec, vocab_size, nnx.Rngs(params=key))  # type: ignore[return-value]
