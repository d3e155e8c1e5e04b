"""A model as CTranslate2 runs it: built from its own description of a Transformer, without PyTorch or transformers.

Its converter of Marian models does not fit: it takes the last token for padding, drops it, and starts from zeros in the
place of an embedding of BOS.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from transformer.interop.marian import parameters
from transformer.interop.marian.parameters import Arrays
from transformer.spec import BOS, EOS, PAD, UNK, ModelSpec

QUANTIZATIONS = ("int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32")

# Never chosen by a search, as in ours. A number that half precision has.
_FORBIDDEN = -1e4


def write(
    path: pathlib.Path,
    params: Mapping[str, np.ndarray],
    model: ModelSpec,
    length: int,
    pieces: Sequence[str],
    quantization: str,
) -> None:
    """Writes a model into a folder that is there.

    Args:
      path: the folder.
      params: by name, parts joined by dots.
      model: settings, which `marian.settings.refuse` has let pass.
      length: positions there are: no sentence may have more symbols.
      pieces: of the vocabulary, by id.
      quantization: of the matrices, one of `QUANTIZATIONS`.
    """
    from ctranslate2.specs import common_spec, transformer_spec

    activations = {name: getattr(common_spec.Activation, name.upper()) for name in ("relu", "gelu", "swish")}
    spec: Any = transformer_spec.TransformerSpec.from_config(
        (model.encoder_layers, model.decoder_layers),
        model.heads,
        pre_norm=False,
        activation=activations[model.activation],
    )
    theirs = parameters.exported(params, model)
    for stack, name in ((spec.encoder, "encoder"), (spec.decoder, "decoder")):
        _fill_stack(stack, theirs, f"model.{name}", model, length)
    table = "model.shared.weight" if model.tie_embeddings else "lm_head.weight"
    spec.decoder.projection.weight = theirs[table]
    spec.decoder.projection.bias = _output_bias(theirs[parameters.BIAS][0])
    for register in (spec.register_source_vocabulary, spec.register_target_vocabulary):
        register(list(pieces))
    spec.config.bos_token = spec.config.decoder_start_token = pieces[BOS]
    spec.config.eos_token, spec.config.unk_token = pieces[EOS], pieces[UNK]
    spec.config.add_source_eos = True
    spec.config.layer_norm_epsilon = 1e-5
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(path))


def _output_bias(bias_V: np.ndarray) -> np.ndarray:
    bias_V = bias_V.copy()
    bias_V[[PAD, BOS]] = _FORBIDDEN
    return bias_V


def _fill_stack(stack: Any, theirs: Arrays, name: str, model: ModelSpec, length: int) -> None:
    """Gives an encoder's or a decoder's description its numbers."""
    embeddings = stack.embeddings[0] if isinstance(stack.embeddings, list) else stack.embeddings
    embeddings.weight = theirs["model.shared.weight" if model.tie_embeddings else f"{name}.embed_tokens.weight"]
    stack.scale_embeddings = float(model.d_model**0.5) if model.scale_embeddings else 1.0
    stack.position_encodings.encodings = parameters.sinusoids(length, model.d_model)
    for number, layer in enumerate(stack.layer):
        own = f"{name}.layers.{number}"
        _attention(layer.self_attention, theirs, f"{own}.self_attn", ("qkv",))
        if hasattr(layer, "attention"):
            _attention(layer.attention, theirs, f"{own}.encoder_attn", ("q", "kv"))
        for linear, which in ((layer.ffn.linear_0, "fc1"), (layer.ffn.linear_1, "fc2")):
            linear.weight, linear.bias = theirs[f"{own}.{which}.weight"], theirs[f"{own}.{which}.bias"]
        _norm(layer.ffn.layer_norm, theirs, f"{own}.final_layer_norm")


def _attention(attention: Any, theirs: Arrays, name: str, groups: tuple[str, ...]) -> None:
    """Projections of a group are one matrix, one below the other; the output's is the last one."""
    for linear, projections in zip(attention.linear, (*groups, ("out",)), strict=True):
        for kind in ("weight", "bias"):
            setattr(linear, kind, np.concatenate([theirs[f"{name}.{each}_proj.{kind}"] for each in projections]))
    _norm(attention.layer_norm, theirs, f"{name}_layer_norm")


def _norm(norm: Any, theirs: Arrays, name: str) -> None:
    norm.gamma, norm.beta = theirs[f"{name}.weight"], theirs[f"{name}.bias"]
