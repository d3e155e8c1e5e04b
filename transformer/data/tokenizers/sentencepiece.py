"""One SentencePiece vocabulary for both languages.

Vaswani et al. 2017, Section 5.1: "Sentences were encoded using byte-pair encoding, which has a shared source-target
vocabulary".
"""

import contextlib
import hashlib
import io
import pathlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, cast

import sentencepiece

from transformer.data.pairs import Pair, sampled
from transformer.data.tokenizers.normalization import rules
from transformer.spec import BOS, EOS, PAD, UNK, DataSpec

_QUIET = 2  # SentencePiece's log level "errors only"; its progress report is of no use to a user
_LONGEST_SENTENCE = 1 << 20  # bytes; SentencePiece leaves longer ones out of its training without a word
# The model file records the number of threads, and the unigram trainer sums its counts thread by thread: a number taken
# from the machine would give another model on another machine.
_THREADS = 16
_ERRORS = (
    (
        re.compile(r"Vocabulary size too high \(\d+\)\. Please set it to a value <= (\d+)"),
        "more than the training text supports, at most {}",
    ),
    (
        re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)"),
        "fewer than its characters, at least {}",
    ),
    (re.compile(r"!sentences_\.empty\(\)"), "no training text: every sentence is empty"),
)


@contextlib.contextmanager
def _rules(uncased: bool) -> Iterator[dict[str, Any]]:
    """SentencePiece's arguments for how text is normalised, as long as the files that they name are needed."""
    if not uncased:
        yield {"normalization_rule_name": "identity"}
        return
    with tempfile.TemporaryDirectory() as folder:
        files = {
            f"{when}_rule_tsv": pathlib.Path(folder) / f"{when}.tsv" for when in ("normalization", "denormalization")
        }
        for file, table in zip(files.values(), rules(), strict=True):
            file.write_text(table, encoding="ascii")
        yield {"normalization_rule_name": "uncased"} | {name: str(file) for name, file in files.items()}


def _without_paths(model: bytes) -> bytes:
    """A serialised model without the names of the files that its rules were read from: they differ each time."""
    from sentencepiece import sentencepiece_model_pb2  # lazily: nothing else here needs protobuf

    found = cast(Any, sentencepiece_model_pb2).ModelProto.FromString(model)  # a class that is made when it is imported
    for rules_of in (found.normalizer_spec, found.denormalizer_spec):
        rules_of.ClearField("normalization_rule_tsv")
    return found.SerializeToString(deterministic=True)


class Tokenizer:
    """Text to token ids and back; ids 0 to 3 are PAD, BOS, EOS and UNK.

    Text is not normalised (no Unicode composition, no case folding, spaces kept, a double one too), so that
    `decode(encode(text)) == text` for text of characters that the training text contains. Any other character becomes
    UNK and comes back as "⁇". U+2581 "▁", SentencePiece's own sign for a space, comes back as a space. A vocabulary
    that was learnt `uncased` has rules of its own (uncased.py): text comes back in lower case.
    """

    def __init__(self, model: bytes) -> None:
        """From a serialised SentencePiece model; raises ValueError if it is none, or has other special ids."""
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)  # unlike the constructor it also refuses an empty one
        except RuntimeError as error:
            raise ValueError("not a SentencePiece model") from error
        special = tuple(getattr(self._processor, f"{name}_id")() for name in ("pad", "bos", "eos", "unk"))
        if special != (PAD, BOS, EOS, UNK):
            raise ValueError(f"ids of pad, bos, eos and unk are {special}, not {(PAD, BOS, EOS, UNK)}")

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, model_type: str, uncased: bool = False) -> Self:
        """A vocabulary of `vocab_size` pieces, special symbols included, learnt from `texts`; deterministic.

        It does not depend on their order. A character outside of them is UNK.

        Raises:
          ValueError: the texts support no vocabulary of this size (the message says which they do), or are all empty.
        """
        model = io.BytesIO()
        try:
            with _rules(uncased) as normalization:
                sentencepiece.SentencePieceTrainer.train(
                    sentence_iterator=iter(texts),
                    model_writer=model,
                    vocab_size=vocab_size,
                    model_type=model_type,
                    pad_id=PAD,
                    bos_id=BOS,
                    eos_id=EOS,
                    unk_id=UNK,
                    unk_surface="⁇",
                    character_coverage=1.0,
                    byte_fallback=False,
                    **normalization,
                    remove_extra_whitespaces=False,
                    max_sentence_length=_LONGEST_SENTENCE,
                    num_threads=_THREADS,
                    minloglevel=_QUIET,
                )
        except RuntimeError as error:
            for pattern, meaning in _ERRORS:
                if match := pattern.search(str(error)):
                    raise ValueError(
                        f"data.vocab_size: {vocab_size} pieces are {meaning.format(*match.groups())}"
                    ) from error
            raise ValueError(f"data.vocab_size={vocab_size}, data.tokenizer={model_type}: {error}") from error
        return cls(_without_paths(model.getvalue()) if uncased else model.getvalue())

    @classmethod
    def learnt(cls, pairs: Sequence[Pair], spec: DataSpec) -> Self:
        """The vocabulary of a training split, the same in both directions; raises what `train` raises."""
        texts = (text for pair in sampled(pairs, max(1, spec.vocab_sentences // 2)) for text in pair)
        return cls.train(texts, spec.vocab_size, spec.tokenizer, spec.uncased)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> Self:
        """Reads what `save` wrote; raises FileNotFoundError or ValueError naming the path."""
        path = pathlib.Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such tokenizer model")
        try:
            return cls(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self, path: str | pathlib.Path) -> None:
        """Writes the model; SentencePiece's own programs read it too."""
        # Under another name first: a file that was cut off would be taken for the run's vocabulary.
        path = pathlib.Path(path)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(self._model)
        temporary.replace(path)

    def __reduce__(self) -> tuple[type[Self], tuple[bytes]]:
        return type(self), (self._model,)

    @property
    def models(self) -> tuple[bytes, bytes]:
        """The SentencePiece models of source and target, serialised: one and the same."""
        return self._model, self._model

    @property
    def of_target(self) -> "Tokenizer":
        """What encodes the target side: itself."""
        return self

    @property
    def vocab_size(self) -> int:
        """Number of pieces, the four special symbols included."""
        return self._processor.get_piece_size()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the model, in hexadecimal."""
        return hashlib.sha256(self._model).hexdigest()

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without BOS and EOS."""
        return self._processor.encode(text)

    def encode_batch(self, texts: Sequence[str], threads: int = -1) -> list[list[int]]:
        """`encode` of each text, by a number of threads, or on all cores."""
        return self._processor.encode(list(texts), num_threads=threads)

    def spelled(self, words: Sequence[str]) -> list[str]:
        """Each word as its pieces spell it: what is left of it after the vocabulary's rules, such as `uncased`."""
        return [self._processor.normalize(word).replace("▁", " ").strip() for word in words]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids` up to the first EOS, PAD and BOS left out; raises ValueError for an id out of range."""
        return self._processor.decode(self._up_to_eos(ids))  # which drops PAD and BOS itself

    def _up_to_eos(self, ids: Iterable[int]) -> list[int]:
        kept, size = [], self.vocab_size
        for token in map(int, ids):
            if token == EOS:
                break
            if not 0 <= token < size:
                raise ValueError(f"token id {token} is not in [0, {size})")
            kept.append(token)
        return kept

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The piece of every id, special symbols included, for labels and tables."""
        return [self._processor.id_to_piece(int(token)) for token in ids]
