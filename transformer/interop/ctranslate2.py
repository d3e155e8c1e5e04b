"""Writes a model for CTranslate2 with its own Transformer specification, without PyTorch or transformers.

CTranslate2's converter of Marian models does not fit: it treats the last token as padding and drops it, and starts
decoding from zeros instead of an embedding of BOS.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from transformer.interop.marian import parameters
from transformer.interop.marian.parameters import Arrays
from transformer.spec import BOS, EOS, PAD, UNK, ModelSpec

QUANTIZATIONS = ("int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32")

# Output bias of tokens that a search never chooses, as in `transformer.decoding`; half precision can represent it.
_FORBIDDEN = -1e4


def write(
    path: pathlib.Path, params: Arrays, model: ModelSpec, length: int, pieces: Sequence[str], quantization: str
) -> None:
    """Writes a model to an existing folder.

    Args:
      params: flat parameters; `safetensors.flatten`.
      model: settings that pass `marian.settings.check_expressible`.
      length: number of positions: the maximum number of tokens of a sentence.
      pieces: of the vocabulary, by id.
      quantization: of the matrices, one of `QUANTIZATIONS`.
    """
    from ctranslate2.specs import common_spec, transformer_spec

    activations = {name: getattr(common_spec.Activation, name.upper()) for name in ("relu", "gelu", "swish")}
    layers, activation = (model.encoder_layers, model.decoder_layers), activations[model.activation]
    from_config: Any = transformer_spec.TransformerSpec.from_config
    spec = from_config(layers, model.heads, pre_norm=False, activation=activation)
    arrays = parameters.to_marian(params, model)
    for stack, name in ((spec.encoder, "encoder"), (spec.decoder, "decoder")):
        _fill_stack(stack, arrays, f"model.{name}", model, length)
    table = "model.shared.weight" if model.tie_embeddings else "lm_head.weight"
    spec.decoder.projection.weight = arrays[table]
    spec.decoder.projection.bias = arrays[parameters.BIAS][0].copy()
    spec.decoder.projection.bias[[PAD, BOS]] = _FORBIDDEN
    for register in (spec.register_source_vocabulary, spec.register_target_vocabulary):
        register(list(pieces))
    spec.config.bos_token = spec.config.decoder_start_token = pieces[BOS]
    spec.config.eos_token, spec.config.unk_token = pieces[EOS], pieces[UNK]
    spec.config.add_source_eos = True
    spec.config.layer_norm_epsilon = 1e-5
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(path))


def _fill_stack(stack: Any, arrays: Arrays, name: str, model: ModelSpec, length: int) -> None:
    """Sets the parameters of an encoder's or a decoder's specification."""
    embeddings = stack.embeddings[0] if isinstance(stack.embeddings, list) else stack.embeddings
    embeddings.weight = arrays["model.shared.weight" if model.tie_embeddings else f"{name}.embed_tokens.weight"]
    stack.scale_embeddings = float(model.d_model**0.5) if model.scale_embeddings else 1.0
    stack.position_encodings.encodings = parameters.sinusoids(length, model.d_model)
    for number, layer in enumerate(stack.layer):
        prefix = f"{name}.layers.{number}"
        _fill_attention(layer.self_attention, arrays, f"{prefix}.self_attn", ("qkv",))
        if hasattr(layer, "attention"):
            _fill_attention(layer.attention, arrays, f"{prefix}.encoder_attn", ("q", "kv"))
        for linear, which in ((layer.ffn.linear_0, "fc1"), (layer.ffn.linear_1, "fc2")):
            linear.weight, linear.bias = arrays[f"{prefix}.{which}.weight"], arrays[f"{prefix}.{which}.bias"]
        _fill_norm(layer.ffn.layer_norm, arrays, f"{prefix}.final_layer_norm")


def _fill_attention(attention: Any, arrays: Arrays, name: str, groups: tuple[str, ...]) -> None:
    """Concatenates the projections of each group along their outputs; the last linear layer is the output's."""
    for linear, projections in zip(attention.linear, (*groups, ("out",)), strict=True):
        for kind in ("weight", "bias"):
            parts = [arrays[f"{name}.{projection}_proj.{kind}"] for projection in projections]
            setattr(linear, kind, np.concatenate(parts))
    _fill_norm(attention.layer_norm, arrays, f"{name}_layer_norm")


def _fill_norm(norm: Any, arrays: Arrays, name: str) -> None:
    norm.gamma, norm.beta = arrays[f"{name}.weight"], arrays[f"{name}.bias"]
