"""What a run begins with that begins from a model that is trained already: its parameters, and its tokenizer."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

from transformer.data.tokenizers.marian import MarianTokenizer
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.interop.marian import folder, parameters, settings
from transformer.spec import BOS, EOS, PAD, UNK, ModelSpec
from transformer.training.state import Params

_SPECIAL = {"<pad>": PAD, "<s>": BOS, "</s>": EOS, "<unk>": UNK}


class Adopted(NamedTuple):
    """A model to begin from.

    Attributes:
      params: its parameters, on the host.
      tokenizer: its tokens.
    """

    params: Params
    tokenizer: Tokenizer


def adopt(path: str, spec: ModelSpec, allowed: Iterable[str] = ()) -> Adopted:
    """Reads a Marian model in a folder.

    Args:
      path: the folder, `train.init_from`.
      spec: what the run is to train.
      allowed: settings that may differ from the model's, "model.score_scale" or all of "model"; of the same shapes.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: it is no Marian model, or not the one that `spec` describes; the message names the settings.
    """
    if importlib.util.find_spec("safetensors") is None:
        raise ValueError("train.init_from needs the package safetensors: pip install -e '.[interop]'")
    found = folder.read(pathlib.Path(path))
    allowed = set(allowed)
    differing = [
        f"model.{name} is {found.settings.get(name, 'derived')!r} there, {getattr(spec, name)!r} here"
        for name in settings.differing(spec, found.settings)
        if not allowed & {"model", f"model.{name}"}
    ]
    if differing:
        raise ValueError(f"{path} is another model than the config's: {'; '.join(differing)}")
    own = dataclasses.replace(spec, **found.settings, d_k=None, d_v=None)
    try:
        return Adopted(parameters.imported(found.arrays, own, found.row_V), _tokenizer(found))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _tokenizer(found: folder.Found) -> Tokenizer:
    """A plain tokenizer, if the model's is one, as that of a model which this project wrote."""
    if found.source_model == found.target_model:
        try:
            plain = Tokenizer(found.source_model)
        except ValueError:  # special symbols of other ids: Marian's own kind
            pass
        else:
            if plain.pieces(range(plain.vocab_size)) == found.pieces:
                return plain
    ids = {piece: token for token, piece in enumerate(found.pieces) if token > UNK}
    return MarianTokenizer.pack(found.source_model, found.target_model, ids | _SPECIAL)
