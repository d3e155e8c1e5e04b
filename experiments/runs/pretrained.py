"""Loads the pretrained model, parameters and tokenizer, that a run starts from with `train.init_from`."""

import dataclasses
import importlib.util
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from experiments.runs import hub
from experiments.runs.workdir import Workdir
from transformer import storage
from transformer.data.tokenizers.marian import MarianTokenizer
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.interop.marian import folder, parameters, settings
from transformer.languages import short_code
from transformer.local_copy import local_copy
from transformer.section import did_you_mean
from transformer.spec import BOS, EOS, PAD, UNK, Spec
from transformer.training.state import Params

_SPECIAL = {"<pad>": PAD, "<s>": BOS, "</s>": EOS, "<unk>": UNK}


class PretrainedModel(NamedTuple):
    """A pretrained model: its parameters, on the host, its tokenizer, and its commit if it comes from the hub."""

    params: Params
    tokenizer: Tokenizer
    commit: str | None = None


def load_for(spec: Spec, workdir: Workdir, allowed: Sequence[str]) -> PretrainedModel | None:
    """Loads the model of `train.init_from`, unless there is none or the run has checkpoints already.

    A run that was interrupted before its first checkpoint gets the commit of the hub that it had before.
    """
    origin = spec.train.init_from
    if not origin or workdir.steps():
        return None
    if not origin.startswith(hub.PREFIX):
        return load_pretrained(origin, spec, allowed)
    path = hub.download(workdir.pinned(origin))
    return load_pretrained(str(path), spec, allowed)._replace(commit=path.name)


def load_pretrained(path: str, spec: Spec, allowed: Iterable[str] = ()) -> PretrainedModel:
    """Reads a Marian model.

    Args:
      path: its folder.
      spec: settings of the run.
      allowed: settings that may differ from the Marian model's: "model.score_scale", for example, or "model" for all
        that do not change the shape of a parameter, and "data.direction".

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: the folder holds no Marian model, or one with other settings than `spec`; the message names them.
    """
    if importlib.util.find_spec("safetensors") is None:
        raise ValueError("train.init_from needs the package safetensors: pip install -e '.[interop]'")
    origin = storage.path(path)
    if not origin.exists():
        hint = f"; a model of the hub is {hub.PREFIX}{path}" if path.count("/") == 1 else ""
        raise FileNotFoundError(f"train.init_from: {path}: no such folder{hint}")
    marian = folder.read(local_copy(origin))
    allowed, model = set(allowed), spec.model
    theirs = marian.settings
    differing = [
        f"model.{name} is {theirs.get(name, 'derived')!r} in the folder, {getattr(model, name)!r} in the config"
        for name in settings.differing_settings(model, theirs)
        if not allowed & {"model", f"model.{name}"}
    ]
    if differing:
        raise ValueError(f"{path} holds another model than the config's: {'; '.join(differing)}")
    languages = (spec.data.source_language, spec.data.target_language)
    if _are_other(marian.languages, languages) and not allowed & {"data", "data.direction"}:
        raise ValueError(
            f"{path}: the model translates from {marian.languages[0]} to {marian.languages[1]}, but data.direction is "
            f"{spec.data.direction}; set it, or --allow_config_change=data.direction"
        )
    own_spec = dataclasses.replace(model, **theirs, d_k=None, d_v=None)
    try:
        params = parameters.from_marian(marian.arrays, own_spec, marian.row_V)
        return PretrainedModel(params, _tokenizer(marian, spec.data.language_code))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _are_other(found: tuple[str, str], expected: tuple[str, str]) -> bool:
    """Whether a code is of another language; codes of groups of languages, "ROMANCE" or "mul", are not compared."""
    codes = map(short_code, found)
    return any(len(code) == 2 and code != other for code, other in zip(codes, expected, strict=True))


def _tokenizer(marian: folder.MarianModel, code: str) -> Tokenizer:
    """Returns the model's tokenizer; a plain `Tokenizer` if this project exported the model, and no code is added."""
    if code and code not in marian.pieces:
        known = [piece for piece in marian.pieces if piece.startswith(">>")]
        raise ValueError(
            f"data.language_code: the vocabulary has no {code!r}; its codes: {', '.join(known[:20]) or 'none'}"
            f"{did_you_mean(code, known)}"
        )
    if marian.source_model == marian.target_model and not code:
        try:
            plain = Tokenizer(marian.source_model)
        except ValueError:  # Marian's own models have other ids of special tokens
            pass
        else:
            if plain.pieces(range(plain.vocab_size)) == marian.pieces:
                return plain
    ids = {piece: token for token, piece in enumerate(marian.pieces) if token > UNK}
    return MarianTokenizer.pack(marian.source_model, marian.target_model, ids | _SPECIAL, code)
