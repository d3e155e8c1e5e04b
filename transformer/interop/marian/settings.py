"""Settings that Marian can express, as its config.json and generation_config.json say them."""

from collections.abc import Mapping
from typing import Any

from transformer.spec import BOS, EOS, PAD, DecodeSpec, ModelSpec

# All that a Marian model can be.
FIXED: dict[str, Any] = {
    "architecture": "transformer",
    "norm": "post",
    "norm_kind": "layer",
    "positions": "sinusoid",
    "score_scale": "sqrt_d_k",
    "cross_score": "dot",
    "weights": "softmax",
    "cross_memory": "last",
    "causal_mask": True,
    "residual": True,
    "no_residual": "",
    "feed_forward": True,
}
# Its activation functions, and ours; "silu" is another name of swish.
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "swish", "silu": "swish"}

# At a length n, ((5 + n) / 6)^α grows as n^(α · n / (5 + n)) does: here at n = 20, some 15 words.
_PENALTY = 20 / (5 + 20)


def inexpressible(spec: ModelSpec) -> list[str]:
    """The settings that no Marian model has, each with its value and what it would have to be."""
    problems = [
        f"model.{name}={getattr(spec, name)!r} (Marian: {only!r})"
        for name, only in FIXED.items()
        if getattr(spec, name) != only
    ]
    if spec.decoder_positions not in (None, "sinusoid"):
        problems.append(f"model.decoder_positions={spec.decoder_positions!r} (Marian: 'sinusoid')")
    if spec.activation not in ACTIVATIONS.values():
        problems.append(f"model.activation={spec.activation!r} (Marian: relu, gelu, swish)")
    for name, size in (("d_k", spec.key_size), ("d_v", spec.value_size)):
        if size * spec.heads != spec.d_model:
            problems.append(f"model.{name}={size} (Marian: model.d_model / model.heads, {spec.d_model} / {spec.heads})")
    return problems


def refuse(spec: ModelSpec) -> None:
    """Raises ValueError naming every setting that no Marian model has."""
    if problems := inexpressible(spec):
        raise ValueError(f"no Marian model has {', '.join(problems)}; --format=safetensors writes any model")


def config(spec: ModelSpec, vocab_size: int, length: int) -> dict[str, Any]:
    """What config.json says of a model.

    Args:
      spec: its settings.
      vocab_size: words, special symbols included; ids are ours.
      length: of the longest sentence that is to be expected, special symbols included.
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
    """The exponent of a hypothesis's length that comes closest to ((5 + length) / 6)^alpha; 0 for 0."""
    return round(alpha * _PENALTY, 4)


def generation(decode: DecodeSpec, length: int) -> dict[str, Any]:
    """What generation_config.json says of a search: the beam, and outputs of at most `length` symbols, BOS included."""
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
    """What tokenizer_config.json says: BOS is a special symbol too, to be left out of text."""
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


def needed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The model settings that a Marian's config.json stands for.

    Raises:
      ValueError: it is no Marian model, or one that no settings express; the message names the entry.
    """
    if config.get("model_type") != "marian":
        raise ValueError(f"model_type is {config.get('model_type')!r}, not 'marian'")
    for entry in ("attention_heads", "ffn_dim"):
        both = [config.get(f"{stack}_{entry}") for stack in ("encoder", "decoder")]
        if both[0] != both[1]:
            raise ValueError(f"encoder_{entry} is {both[0]} and decoder_{entry} {both[1]}; this project has one")
    for entry in ("normalize_before", "normalize_embedding", "add_final_layer_norm"):
        if config.get(entry):
            raise ValueError(f"{entry} is true; no setting of this project expresses it as Marian means it")
    if config.get("decoder_vocab_size") not in (None, config.get("vocab_size")):
        raise ValueError("vocab_size and decoder_vocab_size differ; this project has one vocabulary for both languages")
    activation = config.get("activation_function")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation_function is {activation!r}, none of {', '.join(ACTIVATIONS)}")
    try:
        return FIXED | {
            "d_model": config["d_model"],
            "d_ff": config["encoder_ffn_dim"],
            "heads": config["encoder_attention_heads"],
            "encoder_layers": config["encoder_layers"],
            "decoder_layers": config["decoder_layers"],
            "activation": ACTIVATIONS[activation],
            "scale_embeddings": config.get("scale_embedding", False),
            "tie_embeddings": config.get("share_encoder_decoder_embeddings", True),
        }
    except KeyError as error:
        raise ValueError(f"has no {error.args[0]}") from error


def differing(spec: ModelSpec, wanted: Mapping[str, Any]) -> list[str]:
    """The settings of `spec` that are not what a Marian model needs them to be, by name."""
    wanted = dict(wanted) | {"decoder_positions": "sinusoid"}
    wanted |= dict.fromkeys(("d_k", "d_v"), wanted["d_model"] // wanted["heads"])
    # What is derived is what it has to be.
    return [name for name, value in wanted.items() if getattr(spec, name) not in (value, *_derived(name))]


def _derived(name: str) -> tuple[None, ...]:
    return (None,) if name in ("decoder_positions", "d_k", "d_v") else ()
