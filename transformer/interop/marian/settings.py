"""Converts settings to and from Marian's config.json, generation_config.json and tokenizer_config.json."""

from collections.abc import Mapping
from typing import Any

from transformer.spec import BOS, EOS, PAD, DecodeSpec, ModelSpec

# Settings that all Marian models share.
FIXED: dict[str, Any] = {
    "architecture": "transformer",
    "norm": "post",
    "norm_kind": "layer",
    "positions": "sinusoid",
    "score": "dot",
    "score_scale": "sqrt_d_k",
    "cross_score": "dot",
    "weights": "softmax",
    "cross_memory": "last",
    "causal_mask": True,
    "residual": True,
    "no_residual": "",
    "feed_forward": True,
}
# Marian's activation functions and ours; "silu" is another name of swish.
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "swish", "silu": "swish"}

# At length n, ((5 + n) / 6)^α grows like n^(α · n / (5 + n)). This is n / (5 + n) for n = 20, about 15 words.
_PENALTY = 20 / (5 + 20)


def inexpressible(spec: ModelSpec) -> list[str]:
    """Returns the settings that no Marian model can have, each with its value and the value that Marian needs."""
    problems = [
        f"model.{name}={getattr(spec, name)!r} (Marian: {only!r})"
        for name, only in FIXED.items()
        if getattr(spec, name) not in (only, *_derived(name))
    ]
    if spec.decoder_positions not in (None, "sinusoid"):
        problems.append(f"model.decoder_positions={spec.decoder_positions!r} (Marian: 'sinusoid')")
    if spec.activation not in ACTIVATIONS.values():
        problems.append(f"model.activation={spec.activation!r} (Marian: relu, gelu, swish)")
    for name, size in (("d_k", spec.key_size), ("d_v", spec.value_size)):
        if size * spec.heads != spec.d_model:
            problems.append(f"model.{name}={size} (Marian: model.d_model / model.heads, {spec.d_model} / {spec.heads})")
    return problems


def check_expressible(spec: ModelSpec) -> None:
    """Raises ValueError naming every setting that no Marian model can have."""
    if problems := inexpressible(spec):
        raise ValueError(f"Marian cannot express {', '.join(problems)}; --format=safetensors writes any model")


def model_config(spec: ModelSpec, vocab_size: int, length: int) -> dict[str, Any]:
    """Returns the content of config.json for a model.

    Args:
      vocab_size: number of tokens, special symbols included; ids are ours.
      length: expected maximum number of tokens of a sentence, special symbols included.
    """
    return {
        "architectures": ["MarianMTModel"],
        "model_type": "marian",
        "is_encoder_decoder": True,
        "d_model": spec.d_model,
        "encoder_layers": spec.encoder_layers,
        "decoder_layers": spec.decoder_layers,
        "encoder_attention_heads": spec.heads,
        "decoder_attention_heads": spec.heads,
        "encoder_ffn_dim": spec.d_ff,
        "decoder_ffn_dim": spec.d_ff,
        "activation_function": spec.activation,
        "dropout": spec.dropout_sublayer,
        "attention_dropout": spec.dropout_attention,
        "activation_dropout": spec.dropout_feed_forward,
        "scale_embedding": spec.scale_embeddings,
        "share_encoder_decoder_embeddings": spec.tie_embeddings,
        "tie_word_embeddings": spec.tie_embeddings,
        "static_position_embeddings": True,
        "max_position_embeddings": max(512, length),
        "vocab_size": vocab_size,
        "decoder_vocab_size": vocab_size,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "forced_eos_token_id": EOS,
        "decoder_start_token_id": BOS,
        "dtype": "float32",
    }


def length_penalty(alpha: float) -> float:
    """Returns the exponent of the length whose power is closest to ((5 + length) / 6)^alpha; 0 for 0."""
    return round(alpha * _PENALTY, 4)


def generation_config(decode: DecodeSpec, length: int) -> dict[str, Any]:
    """Returns generation_config.json for a search whose outputs have at most `length` tokens, BOS included."""
    return {
        "num_beams": decode.beam_size if decode.method == "beam" else 1,
        "length_penalty": length_penalty(decode.length_penalty),
        "early_stopping": False,
        "max_length": length,
        "bad_words_ids": [[PAD], [BOS]],
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "forced_eos_token_id": EOS,
        "decoder_start_token_id": BOS,
    }


def tokenizer_config(source_language: str, target_language: str, length: int) -> dict[str, Any]:
    """Returns tokenizer_config.json; BOS is a special symbol, which is not part of decoded text."""
    return {
        "tokenizer_class": "MarianTokenizer",
        "source_lang": source_language,
        "target_lang": target_language,
        "pad_token": "<pad>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "separate_vocabs": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": max(512, length),
    }


def model_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of `ModelSpec` for the config.json of a Marian model.

    Raises:
      ValueError: it is not a Marian model, or no settings express it; the message names the entry.
    """
    if config.get("model_type") != "marian":
        raise ValueError(f"model_type is {config.get('model_type')!r}, not 'marian'")
    for entry in ("attention_heads", "ffn_dim"):
        encoder, decoder = (integer(config, f"{stack}_{entry}") for stack in ("encoder", "decoder"))
        if encoder != decoder:
            raise ValueError(f"encoder_{entry} is {encoder} and decoder_{entry} {decoder}; this project has one value")
    for entry in ("normalize_before", "normalize_embedding", "add_final_layer_norm"):
        if config.get(entry):
            raise ValueError(f"{entry} is true; no setting of this project has the same meaning")
    if config.get("decoder_vocab_size") not in (None, config.get("vocab_size")):
        raise ValueError("vocab_size and decoder_vocab_size differ; this project has one vocabulary for both languages")
    activation = config.get("activation_function")
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise ValueError(f"activation_function is {activation!r}, not one of {', '.join(ACTIVATIONS)}")
    flags = {"scale_embedding": False, "share_encoder_decoder_embeddings": True}  # with transformers' defaults
    for entry, default in flags.items():
        flags[entry] = config.get(entry, default)
        if not isinstance(flags[entry], bool):
            raise ValueError(f"{entry} is {flags[entry]!r}, not true or false")
    d_model, heads = (integer(config, entry) for entry in ("d_model", "encoder_attention_heads"))
    if d_model % heads:
        raise ValueError(f"d_model {d_model} does not divide into {heads} heads")
    return FIXED | {
        "d_model": d_model,
        "d_ff": integer(config, "encoder_ffn_dim"),
        "heads": heads,
        "encoder_layers": integer(config, "encoder_layers"),
        "decoder_layers": integer(config, "decoder_layers"),
        "activation": ACTIVATIONS[activation],
        "scale_embeddings": flags["scale_embedding"],
        "tie_embeddings": flags["share_encoder_decoder_embeddings"],
    }


def integer(config: Mapping[str, Any], entry: str, minimum: int = 1) -> int:
    """Returns an entry of config.json that must be an integer of at least `minimum`; raises ValueError."""
    value = config.get(entry)
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        problem = f"{entry} is {value!r}, not an integer of at least {minimum}"
        raise ValueError(f"has no {entry}" if value is None else problem)
    return value


def differing_settings(spec: ModelSpec, expected: Mapping[str, Any]) -> list[str]:
    """Returns the names of the settings of `spec` that differ from those of a Marian model."""
    expected = dict(expected) | {"decoder_positions": "sinusoid"}
    expected |= dict.fromkeys(("d_k", "d_v"), expected["d_model"] // expected["heads"])
    # None stands for the derived value, which is always the one that Marian needs.
    return [name for name, value in expected.items() if getattr(spec, name) not in (value, *_derived(name))]


def _derived(name: str) -> tuple[None, ...]:
    return (None,) if name in ("decoder_positions", "cross_score", "d_k", "d_v") else ()
