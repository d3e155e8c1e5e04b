"""Reads and writes the folder of a Marian model in the format of `transformers`."""

import importlib.util
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import sentencepiece

from transformer.interop.marian import parameters, settings
from transformer.spec import DecodeSpec, ModelSpec

_WEIGHTS, _OLD_WEIGHTS = "model.safetensors", "pytorch_model.bin"


class MarianModel(NamedTuple):
    """A Marian model.

    Attributes:
      settings: fields of `ModelSpec` by name.
      arrays: parameters by Marian's names.
      row_V: Marian's token id of each of our ids; see `parameters.token_map`.
      pieces: by our ids.
      source_model: serialised SentencePiece model of the source language.
      target_model: of the target language.
      languages: codes of source and target language; "" if the folder has none.
    """

    settings: dict[str, Any]
    arrays: dict[str, np.ndarray]
    row_V: np.ndarray
    pieces: list[str]
    source_model: bytes
    target_model: bytes
    languages: tuple[str, str]


def write(
    path: pathlib.Path,
    params: Mapping[str, np.ndarray],
    model: ModelSpec,
    decode: DecodeSpec,
    length: int,
    pieces: Sequence[str],
    sentencepiece: tuple[bytes, bytes],
    languages: tuple[str, str],
) -> None:
    """Writes a model to an existing folder.

    Args:
      params: flat parameters; `safetensors.flatten`.
      model: settings of the model that pass `settings.check_expressible`.
      decode: settings of the search.
      length: expected maximum number of tokens of a sentence.
      pieces: of the vocabulary, by id.
      sentencepiece: serialised SentencePiece models of source and target language.
      languages: codes of source and target language.
    """
    from safetensors.numpy import save  # local: an optional dependency

    texts = {
        "config.json": settings.model_config(model, len(pieces), length),
        "generation_config.json": settings.generation_config(decode, length),
        "tokenizer_config.json": settings.tokenizer_config(*languages, length),
        "vocab.json": {piece: token for token, piece in enumerate(pieces)},
    }
    for name, content in texts.items():
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (path / name).write_text(text + "\n", encoding="utf-8")
    for name, serialised in zip(("source.spm", "target.spm"), sentencepiece, strict=True):
        (path / name).write_bytes(serialised)
    (path / _WEIGHTS).write_bytes(save(parameters.to_marian(params, model), metadata={"format": "pt"}))


def read(path: pathlib.Path) -> MarianModel:
    """Reads a model.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: the folder does not hold a Marian model, or holds one that no settings express.
    """
    config, vocabulary = (_read_json(path / name) for name in ("config.json", "vocab.json"))
    if (path / "target_vocab.json").exists():
        raise ValueError(f"{path}: has a target_vocab.json; this project has one vocabulary for both languages")
    if not all(isinstance(token, int) for token in vocabulary.values()):
        raise ValueError(f"{path / 'vocab.json'}: not every token has an integer as its id")
    arrays = _read_arrays(path)
    try:
        model_settings = settings.model_settings(config)
        _check_embedding(config, model_settings, arrays)
        row_V, pieces = _token_map(config, vocabulary)
    except ValueError as error:
        raise ValueError(f"{path / 'config.json'}: {error}") from error
    if not model_settings["tie_embeddings"] and config.get("tie_word_embeddings", True) and parameters.TARGET in arrays:
        arrays.setdefault(parameters.OUTPUT, arrays[parameters.TARGET])  # the file has the shared table once
    model_settings["output_bias"] = bool(np.any(arrays.get(parameters.BIAS, 0))) or -1 in row_V
    source, target = (_read_sentencepiece(path / name) for name in ("source.spm", "target.spm"))
    tokenizer = path / "tokenizer_config.json"
    codes = _read_json(tokenizer) if tokenizer.exists() else {}
    languages = (str(codes.get("source_lang", "")), str(codes.get("target_lang", "")))
    return MarianModel(model_settings, arrays, row_V, pieces, source, target, languages)


def _read_arrays(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the parameters from the file that the folder has."""
    path, load = folder / _WEIGHTS, _load_safetensors
    if not path.exists() and (folder / _OLD_WEIGHTS).exists():
        path, load = folder / _OLD_WEIGHTS, _load_pickled
    arrays = load(_require(path))
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"{path}: parameter {name} has values that are not finite numbers")
    return arrays


def _load_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:  # the last three: dtypes that NumPy lacks
        raise ValueError(f"{path}: is damaged or has unsupported dtypes: {error}") from error


def _load_pickled(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads PyTorch's parameters with its restricted reader, which runs no code of the file."""
    if importlib.util.find_spec("torch") is None:
        raise ValueError(f"{path}: needs PyTorch to read it: pip install -e '.[parity]'")
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.float().numpy() for name, tensor in content.items()}
    except Exception as error:  # of any type: the file may hold anything
        reason = str(error).strip().partition("\n")[0][:200]
        raise ValueError(f"{path}: is damaged, or does not only hold parameters: {reason}") from error


def _read_sentencepiece(path: pathlib.Path) -> bytes:
    model = _require(path).read_bytes()
    try:
        sentencepiece.SentencePieceProcessor().LoadFromSerializedProto(model)
    except RuntimeError as error:
        raise ValueError(f"{path}: is not a SentencePiece model") from error
    return model


def _check_embedding(
    config: Mapping[str, Any], model_settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Checks the sizes in config.json before anything of such a size is created."""
    size = settings.integer(config, "vocab_size")
    for name in ("model.shared.weight", "model.encoder.embed_tokens.weight"):
        if name in arrays and arrays[name].shape != (size, model_settings["d_model"]):
            raise ValueError(
                f"vocab_size {size} and d_model {model_settings['d_model']} are not the shape of parameter {name}, "
                f"{arrays[name].shape}"
            )


def _token_map(config: Mapping[str, Any], token_of: Mapping[str, int]) -> tuple[np.ndarray, list[str]]:
    """Returns row_V and the pieces by our ids; a token that Marian does not have gets a placeholder."""
    size = settings.integer(config, "vocab_size")
    ids = {name: settings.integer(config, f"{name}_token_id", 0) for name in ("pad", "decoder_start", "eos")}
    ids["unk"] = token_of.get("<unk>", -1)
    for name, token in ids.items():
        if not 0 <= token < size:
            raise ValueError(f"the id of {name} is {token}, outside the vocabulary of {size} tokens")
    row_V = parameters.token_map(size, ids["pad"], ids["decoder_start"], ids["eos"], ids["unk"])
    piece_of = {token: piece for piece, token in token_of.items()}
    return row_V, [piece_of.get(int(row), f"<none{token}>") for token, row in enumerate(row_V)]


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(_require(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: is not a JSON object")
    return content


def _require(path: pathlib.Path) -> pathlib.Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return path
