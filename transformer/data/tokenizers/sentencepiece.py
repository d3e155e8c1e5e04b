"""One SentencePiece vocabulary for both languages.

Vaswani et al. 2017, Section 5.1: "Sentences were encoded using byte-pair encoding, which has a shared source-target
vocabulary".
"""

import contextlib
import hashlib
import io
import itertools
import pathlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, cast

import sentencepiece

from transformer import atomic_file, storage
from transformer.data.pairs import Pair, sample
from transformer.data.tokenizers.normalization import replacements, rule_tables
from transformer.spec import BOS, EOS, PAD, UNK, DataSpec

_SPECIAL_IDS = {"pad_id": PAD, "bos_id": BOS, "eos_id": EOS, "unk_id": UNK}
_SYMBOLS = ("<pad>", "<s>", "</s>", "<unk>")
_QUIET = 2  # SentencePiece's log level "errors only"
_LONGEST_SENTENCE = 1 << 20  # bytes; SentencePiece silently ignores longer sentences in training
# The model file records the number of threads, and the unigram trainer sums its counts by thread: with the number of
# cores, the model would depend on the machine.
_THREADS = 16
# SentencePiece uses these characters itself: for a space, and for an unknown character in training. A vocabulary for
# text with them has rules that replace each by a private-use character, and restore it in decoding.
_ESCAPES = {"\u2581": "\U000f2581", "\u2585": "\U000f2585"}
# SentencePiece's messages, as regular expressions, and ours.
_ERRORS = {
    r"Vocabulary size too high .* set it to a value <= (\d+)": "more than the training text supports, at most {}",
    r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)": "fewer than its characters, at least {}",
    r"!sentences_\.empty\(\)": "no training text: every sentence is empty",
}


@contextlib.contextmanager
def _rules(uncased: bool, escapes: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yields SentencePiece's normalization arguments; the files that they name exist within the context."""
    if not uncased and not escapes:
        yield {"normalization_rule_name": "identity"}
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments = {"normalization_rule_name": "uncased" if uncased else "escaped"}
        for kind, rules in zip(("normalization", "denormalization"), rule_tables(uncased, escapes), strict=True):
            path = pathlib.Path(folder) / f"{kind}.tsv"
            path.write_text(rules, encoding="ascii")
            arguments[f"{kind}_rule_tsv"] = str(path)
        yield arguments


def _without_paths(model: bytes) -> bytes:
    """Returns a serialised model without the names of its rule files, which differ each time."""
    from sentencepiece import sentencepiece_model_pb2  # a late import: nothing else in this file needs protobuf

    proto = cast(Any, sentencepiece_model_pb2).ModelProto.FromString(model)  # a class created at import
    for normalizer in (proto.normalizer_spec, proto.denormalizer_spec):
        normalizer.ClearField("normalization_rule_tsv")
    return proto.SerializeToString(deterministic=True)


def _train(
    texts: Sequence[str],
    vocab_size: int,
    model_type: str,
    uncased: bool,
    required: str,
    escapes: Mapping[str, str],
    symbols: Sequence[str],
) -> bytes:
    """Returns a serialised model that has characters `required` and pieces `symbols`, and replaces `escapes`."""
    model, table = io.BytesIO(), str.maketrans(dict(escapes))
    # These arguments are part of the model, and its fingerprint.
    more: dict[str, Any] = {"required_chars": required} if required else {}
    more |= {"user_defined_symbols": list(symbols)} if symbols else {}
    try:
        with _rules(uncased, escapes) as normalization:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=(text.translate(table) for text in texts) if escapes else iter(texts),
                model_writer=model,
                vocab_size=vocab_size,
                model_type=model_type,
                **_SPECIAL_IDS,
                unk_surface="⁇",
                character_coverage=1.0,
                byte_fallback=False,
                **normalization,
                **more,
                remove_extra_whitespaces=False,
                max_sentence_length=_LONGEST_SENTENCE,
                num_threads=_THREADS,
                minloglevel=_QUIET,
            )
    except RuntimeError as error:
        for pattern, meaning in _ERRORS.items():
            if match := re.search(pattern, str(error)):
                reason = meaning.format(*match.groups())
                raise ValueError(f"data.vocab_size: {vocab_size} pieces are {reason}") from error
        raise ValueError(f"data.vocab_size={vocab_size}, data.tokenizer={model_type}: {error}") from error
    return _without_paths(model.getvalue()) if uncased or escapes else model.getvalue()


def _leaves_out(text: str, uncased: bool) -> bool:
    """Returns whether SentencePiece's training leaves out characters of a text: of special symbols, or all."""
    spelled = text.lower() if uncased else text
    return len(text) > _LONGEST_SENTENCE // 4 or ("<" in text and any(symbol in spelled for symbol in _SYMBOLS))


class Tokenizer:
    """Text to token ids and back; ids 0 to 3 are PAD, BOS, EOS and UNK.

    Text is not normalised: no Unicode composition, no case folding, and all spaces are kept. Therefore
    `decode(encode(text)) == text` for text whose characters occur in the training text, also for text that spells
    special symbols, such as "<s>". Other characters become UNK and are decoded as "⁇"; `input_text.InputText` replaces
    them where the vocabulary has an equivalent. U+2581 "▁", SentencePiece's symbol for a space, is decoded as a space
    unless the training text contains it. A vocabulary trained with `uncased` has normalization rules
    (normalization.py): text is decoded in lower case.
    """

    def __init__(self, model: bytes) -> None:
        """Loads a serialised SentencePiece model; raises ValueError if it is invalid or has other special ids."""
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)  # unlike the constructor, this also rejects an empty model
        except RuntimeError as error:
            raise ValueError("not a SentencePiece model") from error
        special = {name: getattr(self._processor, name)() for name in _SPECIAL_IDS}
        if special != _SPECIAL_IDS:
            raise ValueError(f"ids of special symbols are {special}, not {_SPECIAL_IDS}")

    @classmethod
    def train_from_texts(
        cls, texts: Iterable[str], vocab_size: int, model_type: str, uncased: bool = False, symbols: Sequence[str] = ()
    ) -> Self:
        """Trains a vocabulary of `vocab_size` pieces, special symbols and `symbols` included, that covers `texts`.

        The result is deterministic and does not depend on the order of `texts`.

        Raises:
          ValueError: the texts do not support this vocabulary size (the message gives the limit), all are empty, or no
            vocabulary can contain one of their characters.
        """
        texts = texts if isinstance(texts, Sequence) else list(texts)
        characters = sorted(set().union(*texts))
        escapes = {old: new for old, new in _ESCAPES.items() if old in characters}
        required = ""
        if escapes or any(_leaves_out(text, uncased) for text in texts):
            rules = replacements(uncased, escapes)
            pieces = "".join(rules.get(character, character) for character in characters)
            required = "".join(sorted(set(pieces) - {" ", "\0"}))
        tokenizer = cls(_train(texts, vocab_size, model_type, uncased, required, escapes, symbols))
        encoded = zip(characters, tokenizer.encode_batch(characters), strict=True)
        missing = [c for c, ids in encoded if UNK in ids or not (uncased or tokenizer.decode(ids) == c)]
        if missing:
            codes = ", ".join(f"U+{ord(character):04X}" for character in missing)
            raise ValueError(
                f"data.tokenizer={model_type}: no vocabulary can contain {codes} of the training text; "
                "delete it, as python -m experiments.doctor --fix does for control characters"
            )
        return tokenizer

    @classmethod
    def train(cls, pairs: Sequence[Pair], spec: DataSpec) -> Self:
        """Trains the vocabulary of a training split, the same in both directions; raises as `train_from_texts`."""
        texts = [text for pair in sample(pairs, max(1, spec.vocab_sentences // 2)) for text in pair]
        tags = dict.fromkeys(part.tag for part in spec.parts if part.tag)  # each is one piece
        if tags:
            prefix = re.compile(f"({'|'.join(map(re.escape, tags))}) ")
            texts = [text[match.end() :] if (match := prefix.match(text)) else text for text in texts]
        symbols = [tag.lower() if spec.uncased else tag for tag in tags]
        return cls.train_from_texts(texts, spec.vocab_size, spec.tokenizer, spec.uncased, symbols)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> Self:
        """Reads a model that `save` wrote; raises FileNotFoundError or ValueError naming the path."""
        path = storage.path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such tokenizer model")
        try:
            return cls(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self, path: str | pathlib.Path) -> None:
        """Writes the model atomically, in SentencePiece's format."""
        atomic_file.write(storage.path(path), self._model)

    def __reduce__(self) -> tuple[type[Self], tuple[bytes]]:
        return type(self), (self._model,)

    @property
    def models(self) -> tuple[bytes, bytes]:
        """The serialised SentencePiece models of source and target, which are the same."""
        return self._model, self._model

    @property
    def for_target(self) -> "Tokenizer":
        """The tokenizer of target text: the same object."""
        return self

    @property
    def vocab_size(self) -> int:
        """The number of pieces, the four special symbols included."""
        return self._processor.get_piece_size()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the model, in hexadecimal."""
        return hashlib.sha256(self._model).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Returns the ids of `text`, without BOS and EOS."""
        return self._processor.encode(text)

    def encode_batch(self, texts: Sequence[str], threads: int = -1) -> list[list[int]]:
        """Encodes each text, with `threads` threads (-1: one per core)."""
        return self._processor.encode(list(texts), num_threads=threads)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Returns the first and the end (exclusive) character of `text` for each of its ids."""
        pieces = self._processor.encode(text, out_type=str)
        offsets = self._processor.normalize(text, with_offsets=True)[1]
        ends = list(itertools.accumulate(map(len, pieces), initial=0))
        return [(offsets[start], offsets[end]) for start, end in itertools.pairwise(ends)]

    def unknown_spans(self, text: str) -> list[tuple[int, int]]:
        """Returns the parts of `text` that become UNK, as first and end (exclusive) character."""
        ids = self.encode(text)
        if UNK not in ids:
            return []
        return [span for span, token in zip(self.token_spans(text), ids, strict=True) if token == UNK]

    def normalize(self, words: Sequence[str]) -> list[str]:
        """Returns each word after the vocabulary's normalization, as its pieces spell it."""
        return [self._processor.normalize(word).replace("▁", " ").strip() for word in words]

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of `ids` up to the first EOS, without PAD and BOS; raises ValueError for an invalid id."""
        return self._processor.decode(self._up_to_eos(ids))  # decode drops PAD and BOS

    def _up_to_eos(self, ids: Iterable[int]) -> list[int]:
        up_to_eos, size = [], self.vocab_size
        for token in map(int, ids):
            if token == EOS:
                break
            if not 0 <= token < size:
                raise ValueError(f"token id {token} is not in [0, {size})")
            up_to_eos.append(token)
        return up_to_eos

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Returns the piece of every id, special symbols included, for labels and tables."""
        return [self._processor.id_to_piece(int(token)) for token in ids]
