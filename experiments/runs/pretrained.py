"""Loads the pretrained model, parameters and tokenizer, that a run starts from with `train.init_from`."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from experiments.runs.workdir import Workdir
from transformer.data.tokenizers.marian import MarianTokenizer
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.interop.marian import folder, parameters, settings
from transformer.spec import BOS, EOS, PAD, UNK, ModelSpec, Spec
from transformer.training.state import Params

_SPECIAL = {"<pad>": PAD, "<s>": BOS, "</s>": EOS, "<unk>": UNK}


class PretrainedModel(NamedTuple):
    """A pretrained model: its parameters, on the host, and its tokenizer."""

    params: Params
    tokenizer: Tokenizer


def load_for(spec: Spec, workdir: Workdir, allowed: Sequence[str]) -> PretrainedModel | None:
    """Loads the model of `train.init_from`, unless there is none or the run has checkpoints already."""
    path = spec.train.init_from
    return load_pretrained(path, spec.model, allowed) if path and not workdir.steps() else None


def load_pretrained(path: str, spec: ModelSpec, allowed: Iterable[str] = ()) -> PretrainedModel:
    """Reads a Marian model.

    Args:
      path: its folder, `train.init_from`.
      spec: settings of the run's model.
      allowed: settings that may differ from the Marian model's without changing the shape of a parameter:
        "model.score_scale", for example, or "model" for all.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: the folder holds no Marian model, or one with other settings than `spec`; the message names them.
    """
    if importlib.util.find_spec("safetensors") is None:
        raise ValueError("train.init_from needs the package safetensors: pip install -e '.[interop]'")
    marian = folder.read(pathlib.Path(path))
    allowed = set(allowed)
    differing = [
        f"model.{name} is {marian.settings.get(name, 'derived')!r} in the folder, {getattr(spec, name)!r} in the config"
        for name in settings.differing_settings(spec, marian.settings)
        if not allowed & {"model", f"model.{name}"}
    ]
    if differing:
        raise ValueError(f"{path} holds another model than the config's: {'; '.join(differing)}")
    own_spec = dataclasses.replace(spec, **marian.settings, d_k=None, d_v=None)
    try:
        return PretrainedModel(parameters.from_marian(marian.arrays, own_spec, marian.row_V), _tokenizer(marian))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _tokenizer(marian: folder.MarianModel) -> Tokenizer:
    """Returns the model's tokenizer; a plain `Tokenizer` if this project exported the model."""
    if marian.source_model == marian.target_model:
        try:
            plain = Tokenizer(marian.source_model)
        except ValueError:  # Marian's own models have other ids of special tokens
            pass
        else:
            if plain.pieces(range(plain.vocab_size)) == marian.pieces:
                return plain
    ids = {piece: token for token, piece in enumerate(marian.pieces) if token > UNK}
    return MarianTokenizer.pack(marian.source_model, marian.target_model, ids | _SPECIAL)
