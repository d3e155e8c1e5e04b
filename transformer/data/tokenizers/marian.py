"""Marian's tokenizer: a SentencePiece model for each language, and one table from pieces to ids for both."""

import functools
import io
import json
import pathlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import sentencepiece

from transformer import storage
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import UNK

_FILES = ("source.spm", "target.spm", "vocab.json")
_MAX_SIZE = 1 << 28  # bytes of an archive's files, uncompressed; a vocabulary of a million pieces has about a tenth
_MAGIC = b"PK"  # the first bytes of a zip archive; no SentencePiece model starts with them


class MarianTokenizer(Tokenizer):
    """Encodes source text with one SentencePiece model and target text with another; a piece without an id is UNK.

    Ids 0 to 3 are PAD, BOS, EOS and UNK. A leading language code, ">>fra<< text", is a token if the table has it.
    Source text without one gets the default code, if any. The models normalise the text, so decoding may not restore it
    exactly.
    """

    def __init__(self, model: bytes, side: str = "source") -> None:
        """Loads an archive of `pack`, to encode text of `side`: "source" or "target"; other data raise ValueError."""
        self._model, self._side = model, side
        try:
            with zipfile.ZipFile(io.BytesIO(model)) as archive:
                if sum(archive.getinfo(name).file_size for name in _FILES) > _MAX_SIZE:
                    raise ValueError(f"the files of the archive have more than {_MAX_SIZE} bytes")
                source, target, vocabulary = (archive.read(name) for name in _FILES)
                code = archive.comment.decode()
            self._models = (source, target)
            self._ids: dict[str, int] = json.loads(vocabulary)
            self._processor, self._decoder = _processor(source if side == "source" else target), _processor(target)
        except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:
            raise ValueError(f"not an archive of {', '.join(_FILES)}") from error
        self._default_code = (code,) if code and side == "source" else ()
        self._pieces = {token: piece for piece, token in self._ids.items()}

    @classmethod
    def pack(cls, source: bytes, target: bytes, ids: Mapping[str, int], code: str = "") -> Self:
        """Creates a tokenizer from two serialised SentencePiece models and a table from pieces to ids.

        Args:
          source: model of the source language.
          target: model of the target language.
          ids: the id of each piece.
          code: a piece with which source text begins that has no language code; "": none.
        """
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.comment = code.encode()
            for name, content in zip(_FILES, (source, target, json.dumps(ids, ensure_ascii=False)), strict=True):
                # Without the time, so that equal content has an equal fingerprint.
                archive.writestr(zipfile.ZipInfo(name), content)
        return cls(buffer.getvalue())

    def __reduce__(self) -> tuple[type[Self], tuple[bytes, str]]:  # type: ignore[override]
        return type(self), (self._model, self._side)

    @property
    def models(self) -> tuple[bytes, bytes]:
        """The serialised SentencePiece models of source and target."""
        return self._models

    @property
    def for_target(self) -> Tokenizer:
        """The tokenizer of target text, with the same vocabulary."""
        return self._of_target

    @functools.cached_property
    def _of_target(self) -> Tokenizer:
        return MarianTokenizer(self._model, "target")

    @property
    def vocab_size(self) -> int:
        """The number of ids; some may have no piece."""
        return max(self._ids.values()) + 1

    def encode(self, text: str) -> list[int]:
        """Returns the ids of `text`, without BOS and EOS."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str], threads: int = -1) -> list[list[int]]:
        """Encodes each text, with `threads` threads (-1: one per core)."""
        split_texts = [self._split_code(text) for text in texts]
        texts_pieces = self._processor.encode([rest for _, rest in split_texts], out_type=str, num_threads=threads)
        coded = [(*code, *pieces) for (code, _), pieces in zip(split_texts, texts_pieces, strict=True)]
        # Text cannot spell the special symbols, whose ids are at most UNK.
        return [[max(self._ids.get(piece, UNK), UNK) for piece in pieces] for pieces in coded]

    def _split_code(self, text: str) -> tuple[tuple[str, ...], str]:
        """Splits a text into a leading language code, or the default one, and the rest."""
        end = text.find("<<") + 2
        if text.startswith(">>") and end > 2 and text[:end] in self._ids:
            return (text[:end],), text[end:]
        return self._default_code, text

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Returns the first and the end (exclusive) character of `text` for each of its ids."""
        code, rest = self._split_code(text)
        start = len(text) - len(rest)
        spans = [(start + first, start + end) for first, end in super().token_spans(rest)]
        return [(0, start)] * len(code) + spans

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of `ids` up to the first EOS, without PAD and BOS; raises ValueError for an invalid id."""
        # The ids of PAD, BOS and EOS are less than UNK.
        tokens = [token for token in self._up_to_eos(ids) if token >= UNK]
        pieces = ["⁇" if token == UNK else self._pieces.get(token, "") for token in tokens]
        return self._decoder.decode_pieces(pieces).replace("▁", " ").strip()

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Returns the piece of every id, special symbols included, for labels and tables."""
        return [self._pieces.get(int(token), "") for token in ids]


def load_tokenizer(path: str | pathlib.Path) -> Tokenizer:
    """Reads a tokenizer of either class; raises FileNotFoundError or ValueError naming the path."""
    path = storage.path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such tokenizer model")
    with path.open("rb") as file:
        kind = MarianTokenizer if file.read(len(_MAGIC)) == _MAGIC else Tokenizer
    return kind.load(path)


def _processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return processor
