"""A stretch of a corpus in the forms that checks look at, and what is kept of it: numbers on lines, not lines."""

import bisect
import dataclasses
import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

import numpy as np

from transformer.data.doctor import language

SIZE = 4096  # lines of a block: enough that work on all of them at once pays, little enough to hold in a cache


def _folding() -> bytes:
    """Latin-1 → lower-case ASCII letters and digits; all else, but for the line's end, is a space."""
    letters = (unicodedata.normalize("NFD", chr(code))[0].lower() for code in range(256))
    folded = bytearray(ord(letter) if letter.isascii() and letter.isalnum() else ord(" ") for letter in letters)
    folded[ord("\n")] = ord("\n")
    return bytes(folded)


_FOLDED = _folding()
_PUNCTUATION = bytes(code for code in range(128) if not chr(code).isalnum() and chr(code) != "\n")
# Shortest words whose first letters French and English may share, and how many letters those are.
_COGNATE, _STEM = 4, 4


class Lines:
    """Some consecutive lines of one side.

    Attributes:
      lines: the lines; a line feed inside one is a space.
      broken: which of them had one.
      first: the number of the first, from 0.
      code: the language they should be in.
      other: the language of their translations.
    """

    def __init__(self, lines: Sequence[str], first: int, code: str, other: str) -> None:
        self.lines: Sequence[str] = lines
        self.broken = [index for index, line in enumerate(lines) if "\n" in line]
        if self.broken:
            self.lines = [line.replace("\n", " ") for line in lines]
        self.first = first
        self.code = code
        self.other = other
        self._known: dict[re.Pattern[str], bool] = {}

    def __len__(self) -> int:
        return len(self.lines)

    @functools.cached_property
    def text(self) -> str:
        """All lines, with a line feed between two."""
        return "\n".join(self.lines)

    @functools.cached_property
    def _starts(self) -> list[int]:
        return [0, *itertools.accumulate(len(line) + 1 for line in self.lines)][:-1]

    def has(self, pattern: re.Pattern[str]) -> bool:
        """Whether a pattern matches anywhere, which is looked for once."""
        if pattern not in self._known:
            self._known[pattern] = pattern.search(self.text) is not None
        return self._known[pattern]

    def matches(self, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        """(line, column) of the first match in each line that has one; the pattern matches no line feed."""
        last = -1
        for match in pattern.finditer(self.text):
            line = bisect.bisect_right(self._starts, match.start()) - 1
            if line != last:
                yield line, match.start() - self._starts[line]
            last = line

    @functools.cached_property
    def words(self) -> list[list[bytes]]:
        """Each line's words in lower case and without accents; what is neither letter nor digit parts them."""
        folded = self.text.encode("latin-1", "replace").translate(_FOLDED)
        return [line.split() for line in folded.split(b"\n")] if self.lines else []

    @functools.cached_property
    def numbers(self) -> "Side":
        """What is kept of these lines."""
        keys = self.text.casefold().encode("utf-8").translate(None, _PUNCTUATION).split(b"\n") if self.lines else []
        return Side(
            # Python's own hash: eight bytes, and equal within one process, which is all that is asked of it.
            key=np.fromiter((hash(key) if key else 0 for key in keys), np.int64, len(self)),
            characters=np.fromiter(map(len, self.lines), np.uint32, len(self)),
            words=np.fromiter(map(len, self.words), np.uint32, len(self)),
            language=language.of_words(self.words, self.code, self.other),
            signature=np.fromiter(map(_signature, self.words), np.uint64, len(self)),
            ending=np.fromiter((ord(line[-1:] or "\n") & 0xFF for line in self.lines), np.uint8, len(self)),
        )


@functools.lru_cache(maxsize=1 << 16)
def _bit(stem: bytes) -> int:
    return 1 << (crc32(stem) & 63)


def _signature(words: Sequence[bytes]) -> int:
    """A bit for each number and for the beginning of each longer word: what two languages write alike."""
    bits = 0
    for word in words:
        if len(word) >= _COGNATE or word.isdigit():
            bits |= _bit(word[:_STEM])
    return bits


@dataclasses.dataclass
class Side:
    """Numbers on each line of one side.

    Attributes:
      key: hash of the letters and digits in lower case; 0 where there are none.
      characters: how many.
      words: how many.
      language: see `language.of_words`.
      signature: bits for words that a translation may share.
      ending: the last character.
    """

    key: np.ndarray
    characters: np.ndarray
    words: np.ndarray
    language: np.ndarray
    signature: np.ndarray
    ending: np.ndarray

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, where: slice | np.ndarray) -> "Side":
        return Side(*(getattr(self, field.name)[where] for field in dataclasses.fields(Side)))

    @classmethod
    def joined(cls, sides: Iterable["Side"]) -> "Side":
        """Those of consecutive blocks, at least one."""
        parts = list(sides)
        return cls(
            *(np.concatenate([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(cls))
        )


@dataclasses.dataclass
class Block:
    """Consecutive pairs: line i of `source` should translate line i of `target`.

    Attributes:
      source: the lines.
      target: the lines, as many.
      max_length: tokens, end symbol included, above which a pair is not trained on; None: no limit.
    """

    source: Lines
    target: Lines
    max_length: int | None = None

    @property
    def sides(self) -> "tuple[Side, Side]":
        """Numbers on both sides."""
        return self.source.numbers, self.target.numbers
