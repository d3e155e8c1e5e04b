"""Blocks of lines in the forms that checks use, and the features of lines that are kept instead of the lines."""

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

BLOCK_SIZE = 4096  # lines; large enough for vectorised work, small enough for the CPU cache


def _folding() -> bytes:
    """Returns the translation of Latin-1 to lower-case ASCII letters and digits; all others but LF become spaces."""
    letters = (unicodedata.normalize("NFD", chr(code))[0].lower() for code in range(256))
    folded = bytearray(ord(letter) if letter.isascii() and letter.isalnum() else ord(" ") for letter in letters)
    folded[ord("\n")] = ord("\n")
    return bytes(folded)


_FOLDED = _folding()
_PUNCTUATION = bytes(code for code in range(128) if not chr(code).isalnum() and chr(code) != "\n")
# Words of at least _COGNATE letters may share their first _STEM letters between French and English.
_COGNATE, _STEM = 4, 4


class LineBlock:
    """Consecutive lines of one side.

    Attributes:
      lines: the lines; a line feed inside a line is replaced by a space.
      with_line_feed: indices of the lines that had one.
      start: index of the first line in the split.
      language: language code of the side.
      other_language: language code of the translations.
    """

    def __init__(self, lines: Sequence[str], start: int, language: str, other_language: str) -> None:
        self.lines: Sequence[str] = lines
        self.with_line_feed = [index for index, line in enumerate(lines) if "\n" in line]
        if self.with_line_feed:
            self.lines = [line.replace("\n", " ") for line in lines]
        self.start = start
        self.language = language
        self.other_language = other_language
        self._contains: dict[re.Pattern[str], bool] = {}

    def __len__(self) -> int:
        return len(self.lines)

    @functools.cached_property
    def text(self) -> str:
        """All lines, separated by line feeds."""
        return "\n".join(self.lines)

    @functools.cached_property
    def _starts(self) -> list[int]:
        return [0, *itertools.accumulate(len(line) + 1 for line in self.lines)][:-1]

    def contains(self, pattern: re.Pattern[str]) -> bool:
        """Returns whether a pattern matches anywhere; each pattern is searched once."""
        if pattern not in self._contains:
            self._contains[pattern] = pattern.search(self.text) is not None
        return self._contains[pattern]

    def first_matches(self, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        """Yields (line, column) of the first match in each line; the pattern must not match a line feed."""
        previous = -1
        for match in pattern.finditer(self.text):
            line = bisect.bisect_right(self._starts, match.start()) - 1
            if line != previous:
                yield line, match.start() - self._starts[line]
            previous = line

    @functools.cached_property
    def words(self) -> list[list[bytes]]:
        """The words of each line: runs of letters and digits, in lower case and without accents."""
        folded = self.text.encode("latin-1", "replace").translate(_FOLDED)
        return [line.split() for line in folded.split(b"\n")] if self.lines else []

    @functools.cached_property
    def features(self) -> "SideFeatures":
        """The features of these lines."""
        texts = self.text.casefold().encode("utf-8").translate(None, _PUNCTUATION).split(b"\n") if self.lines else []
        return SideFeatures(
            # Python's hash: 8 bytes, and equal texts have equal hashes within a process, which is sufficient.
            hashes=np.fromiter((hash(text) if text else 0 for text in texts), np.int64, len(self)),
            num_characters=np.fromiter(map(len, self.lines), np.uint32, len(self)),
            num_words=np.fromiter(map(len, self.words), np.uint32, len(self)),
            languages=language.by_function_words(self.words, self.language, self.other_language),
            cognates=np.fromiter(map(_cognate_bits, self.words), np.uint64, len(self)),
            last_characters=np.fromiter((ord(line[-1:] or "\n") & 0xFF for line in self.lines), np.uint8, len(self)),
        )


@functools.lru_cache(maxsize=1 << 16)
def _stem_bit(stem: bytes) -> int:
    return 1 << (crc32(stem) & 63)


def _cognate_bits(words: Sequence[bytes]) -> int:
    """Returns a bit for each number and each stem of a longer word: parts that two languages may share."""
    bits = 0
    for word in words:
        if len(word) >= _COGNATE or word.isdigit():
            bits |= _stem_bit(word[:_STEM])
    return bits


@dataclasses.dataclass
class SideFeatures:
    """Features of the lines of one side, one array element a line.

    Attributes:
      hashes: hash of the letters and digits in lower case; 0 if there are none.
      num_characters: length in characters.
      num_words: length in words.
      languages: see `language.by_function_words`.
      cognates: bits for words that a translation may share.
      last_characters: low byte of the last character's code.
    """

    hashes: np.ndarray
    num_characters: np.ndarray
    num_words: np.ndarray
    languages: np.ndarray
    cognates: np.ndarray
    last_characters: np.ndarray

    def __len__(self) -> int:
        return len(self.hashes)

    def __getitem__(self, selection: slice | np.ndarray) -> "SideFeatures":
        return SideFeatures(*(column[selection] for column in vars(self).values()))

    @classmethod
    def concatenate(cls, blocks: Iterable["SideFeatures"]) -> "SideFeatures":
        """Returns the features of consecutive blocks, of which there must be at least one."""
        columns = zip(*(vars(block).values() for block in blocks), strict=True)
        return cls(*map(np.concatenate, columns))


@dataclasses.dataclass
class PairBlock:
    """Consecutive pairs: line i of `target` should translate line i of `source`.

    Attributes:
      source: the source lines.
      target: the target lines, in the same number.
      max_length: maximum tokens of a training sentence, end-of-sentence included; None: no limit.
    """

    source: LineBlock
    target: LineBlock
    max_length: int | None = None

    @property
    def features(self) -> "tuple[SideFeatures, SideFeatures]":
        """The features of source and target."""
        return self.source.features, self.target.features
