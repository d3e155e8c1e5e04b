"""Blocks of lines in the forms that checks use, and the features of lines that are kept instead of the lines."""

import bisect
import collections
import dataclasses
import functools
import itertools
import operator
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

import numpy as np

from transformer.data.doctor import language
from transformer.data.doctor.words import words_of

_LAST = 0xFFFF  # the largest code of tables of characters; larger codes count as this one
BLOCK_SIZE = 4096  # lines; large enough for vectorised work, small enough for the CPU cache


def _folding() -> bytes:
    """Returns the translation of Latin-1 to lower-case ASCII letters and digits; all others but LF become spaces."""
    letters = (unicodedata.normalize("NFD", chr(code))[0].lower() for code in range(256))
    folded = bytearray(ord(letter) if letter.isascii() and letter.isalnum() else ord(" ") for letter in letters)
    folded[ord("\n")] = ord("\n")
    return bytes(folded)


def _accented_words() -> bytes:
    """Returns the translation of Latin-1 to lower-case letters; all other characters become spaces."""
    letters = (chr(code).lower() for code in range(256))
    return bytes(ord(letter) if letter.isalpha() and ord(letter) < 256 else ord(" ") for letter in letters)


def _classes() -> np.ndarray:
    """Returns the classes of each character up to U+FFFF, as bits."""
    classes = np.zeros(_LAST + 1, np.uint16)
    for code in range(0x600):
        letter = chr(code)
        names = [name for name in _CLASSES if letter == name]
        names += [("lower", "upper")[letter.isupper()]] * letter.isalpha() + ["digit"] * letter.isdecimal()
        names += ["accented"] * (letter.isalpha() and 0x80 < code < 0x250)
        classes[code] = sum(1 << _CLASSES.index(name) for name in names)
    classes[0x370:0x590] |= np.where(classes[0x370:0x590] > 0, 1 << _CLASSES.index("foreign"), 0).astype(np.uint16)
    classes[0x590:0x1E00] |= 1 << _CLASSES.index("foreign")
    classes[0x3040:0xD800] |= 1 << _CLASSES.index("foreign")
    return classes


_CLASSES = ("upper", "lower", "accented", "foreign", "digit", "?", " ", "(", ")", "[", "]", "{", "}", "%", "<", "&")
_CLASS_OF = _classes()
_FOLDED, _ACCENTED = _folding(), _accented_words()
# Left out when texts are compared: marks with many spellings, which are no part of a word such as C++ or file*.
_PUNCTUATION = " \"'(),-.:;!?[]`" + "’‘‚‛ʼ´“”„‟«»‹›–—‐‑‒―−…·•¿¡\u00a0\u202f\u2009\u200b\ufeff"
_COMPARED = np.ones(_LAST + 1, bool)
_COMPARED[[ord(mark) for mark in _PUNCTUATION]] = False
_DECIMAL = [ord("."), ord(",")]
# Words of at least _COGNATE letters may share their first _STEM letters between two languages.
_COGNATE, _STEM = 4, 4


def character_table(characters: str) -> np.ndarray:
    """Returns for each code up to U+FFFF whether it is in a class of a regular expression; others count as U+FFFF."""
    table = np.zeros(_LAST + 1, bool)
    table[[match.start() for match in re.finditer(f"[{characters}]", "".join(map(chr, range(_LAST + 1))))]] = True
    return table


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
        self._counts: dict[str, np.ndarray] = {}
        self._lines_with_any: dict[int, list[int]] = {}

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

    @functools.cached_property
    def _points(self) -> np.ndarray:
        return np.frombuffer(f"{self.text}\n".encode("utf-32-le", "surrogatepass"), np.uint32)

    @functools.cached_property
    def _indices(self) -> np.ndarray:
        return np.minimum(self._points, _LAST)

    @functools.cached_property
    def _codes(self) -> np.ndarray:
        return _CLASS_OF[self._indices]

    @property
    def longest_run(self) -> int:
        """The largest number of equal characters one after the other."""
        changes = np.flatnonzero(self._points[1:] != self._points[:-1])
        return int(np.diff(changes, prepend=-1, append=len(self._points) - 1).max())

    def counts(self, name: str) -> np.ndarray:
        """Returns the number of characters of a class in each line.

        Args:
          name: "upper", "lower", "accented", "foreign" (not Latin), "digit", "single" (a letter between spaces), or one
            of the characters ? ( ) [ ] { } % < &.
        """
        if name not in self._counts:
            self._counts[name] = self._count(name)
        return self._counts[name]

    def _count(self, name: str) -> np.ndarray:
        if name == "single":
            is_space = np.concatenate([[True], (self._codes == 1 << _CLASSES.index(" ")) | (self._codes == 0), [True]])
            letters = (self._codes & 0b11) != 0
            chosen = letters & is_space[:-2] & is_space[2:]
        else:
            chosen = (self._codes & (1 << _CLASSES.index(name))) != 0
        if name == "lower":
            return np.add.reduceat(chosen, self._starts, dtype=np.int64)
        lines = np.searchsorted(self._starts, np.flatnonzero(chosen), "right") - 1
        return np.bincount(lines, minlength=len(self))

    @functools.cached_property
    def accented_words(self) -> list[str]:
        """The words of all lines that have an accented letter, in lower case, with their accents."""
        lines = (self.lines[index] for index in np.flatnonzero(self.counts("accented")).tolist())
        text = "\n".join(lines).encode("latin-1", "replace").translate(_ACCENTED)
        return text.decode("latin-1").split()

    def lines_with_any(self, characters: np.ndarray) -> list[int]:
        """Returns the indices of the lines with some of these characters; see `character_table`."""
        if id(characters) not in self._lines_with_any:
            positions = np.flatnonzero(characters[self._indices])
            lines = np.unique(np.searchsorted(self._starts, positions, "right") - 1).tolist()
            self._lines_with_any[id(characters)] = lines
        return self._lines_with_any[id(characters)]

    def lines_with(self, *names: str) -> list[int]:
        """Returns the indices of the lines with a character of one of these classes."""
        return np.flatnonzero(np.sum([self.counts(name) for name in names], axis=0)).tolist()

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
        if self.language not in language.LISTED:
            return list(map(words_of, self.lines))
        folded = self.text.encode("latin-1", "replace").translate(_FOLDED)
        return [line.split() for line in folded.split(b"\n")] if self.lines else []

    @functools.cached_property
    def word_counts(self) -> collections.Counter[bytes]:
        """How often each word occurs."""
        return collections.Counter(itertools.chain.from_iterable(self.words))

    @functools.cached_property
    def features(self) -> "SideFeatures":
        """The features of these lines."""
        texts = self._compared_texts() if self.lines else []
        bits = {word: _cognate_bit(word) for word in self.word_counts}
        cognates = (functools.reduce(operator.or_, map(bits.__getitem__, words), 0) for words in self.words)
        return SideFeatures(
            # Python's hash: 8 bytes, and equal texts have equal hashes within a process, which is sufficient.
            hashes=np.fromiter((hash(text) if text else 0 for text in texts), np.int64, len(self)),
            num_characters=np.fromiter(map(len, self.lines), np.uint32, len(self)),
            num_words=np.fromiter(map(len, self.words), np.uint32, len(self)),
            languages=language.by_function_words(self.words, self.language, self.other_language),
            cognates=np.fromiter(cognates, np.uint64, len(self)),
            last_characters=np.fromiter((ord(line[-1:] or "\n") & 0xFF for line in self.lines), np.uint8, len(self)),
        )

    def _compared_texts(self) -> list[bytes]:
        is_digit = (self._codes & (1 << _CLASSES.index("digit"))) != 0
        # 1.5 is not 15.
        is_decimal = np.zeros(len(self._points), bool)
        is_decimal[1:-1] = np.isin(self._points[1:-1], _DECIMAL) & is_digit[:-2] & is_digit[2:]
        kept = self._points[_COMPARED[self._indices] | is_decimal]
        text = kept.tobytes().decode("utf-32-le", "surrogatepass").casefold()
        return text.encode("utf-8", "surrogatepass").split(b"\n")[:-1]


def _cognate_bit(word: bytes) -> int:
    """Returns a bit for a number or the stem of a longer word, which two languages may share; 0 for other words."""
    return 1 << (crc32(word[:_STEM]) & 63) if len(word) >= _COGNATE or word.isdigit() else 0


@dataclasses.dataclass
class SideFeatures:
    """Features of the lines of one side, one array element a line.

    Attributes:
      hashes: hash of the text in lower case, without spaces, quotes, dashes and punctuation; 0 if nothing is left.
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
    def is_listed(self) -> bool:
        """Whether both languages have the finer rules, which need lists of their words."""
        return {self.source.language, self.target.language} <= language.LISTED

    @property
    def sides(self) -> tuple[LineBlock, LineBlock]:
        """Source and target."""
        return self.source, self.target

    @property
    def features(self) -> "tuple[SideFeatures, SideFeatures]":
        """The features of source and target."""
        return self.source.features, self.target.features
