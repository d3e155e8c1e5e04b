"""Reads TMX files, translation memories in XML, as a stream: memory does not grow with the file.

The text of a segment is that of `<seg>` without the native codes in its inline elements (`<bpt>`, `<ph>` and others);
highlighted text (`<hi>`) stays. The standard is TMX 1.4b.
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any, NoReturn
from xml.parsers import expat

from transformer.data.pairs import Pair
from transformer.data.sources.language_codes import find_language
from transformer.data.sources.text_files import one_line, pieces

_CODES = ("bpt", "ept", "it", "ph", "ut")  # inline elements with native codes instead of text


def read_tmx(path: pathlib.Path, source: str, target: str) -> Iterator[Pair]:
    """Yields the pairs of a plain or compressed file; leaves out units that lack one of the two languages.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is damaged or not TMX, or no unit is in both languages.
    """
    reader = _Reader(path)
    languages: set[str] = set()
    count = 0
    for units in reader.units():
        for unit in units:
            codes = [code for code, _ in unit]
            languages.update(codes)
            first, second = find_language(codes, source), find_language(codes, target)
            if first is not None and second is not None:
                count += 1
                yield Pair(one_line(unit[first][1]), one_line(unit[second][1]))
    if not count:
        found = f"its languages are {', '.join(sorted(languages))}" if languages else "it has none at all"
        raise ValueError(f"{path}: no translation unit in {source} and {target}; {found}")


@dataclasses.dataclass
class _Variant:
    """A `<tuv>` that is being read.

    Attributes:
      language: its code.
      text: pieces of its segment; None until the segment starts.
    """

    language: str
    text: list[str] | None = None


class _Reader:
    """Handles the events of an XML parser."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._units: list[list[tuple[str, str]]] = []  # complete; each with a code and a text per variant
        self._unit: list[tuple[str, str]] = []
        self._variant: _Variant | None = None
        self._in_segment, self._codes = False, 0  # number of open inline elements with native codes
        self._is_tmx = False
        self._parser: Any = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        # Entities that a file defines can expand to any size, or read other files; TMX needs none.
        self._parser.EntityDeclHandler = lambda name, *_: self._fail(f"defines the entity {name}")
        self._parser.SkippedEntityHandler = lambda name, _: self._fail(f"the entity &{name}; is not defined")

    def units(self) -> Iterator[list[list[tuple[str, str]]]]:
        """Yields lists of units."""
        try:
            for piece in pieces(self._path):
                self._parser.Parse(piece, False)
                yield self._units
                self._units = []
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise ValueError(
                f"{self._path}:{error.lineno}: not well-formed TMX: {expat.ErrorString(error.code)}"
            ) from error
        yield self._units

    def _fail(self, reason: str) -> NoReturn:
        raise ValueError(f"{self._path}:{self._parser.CurrentLineNumber}: {reason}")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._is_tmx:
            if name != "tmx":
                self._fail(f"not TMX: the root element is <{name}>")
            self._is_tmx = True
        if name == "tuv":
            language = attributes.get("xml:lang") or attributes.get("lang")  # TMX 1.1 has `lang`
            if not language:
                self._fail("a <tuv> has no xml:lang")
            self._variant = _Variant(language)
        elif name == "seg" and self._variant:
            self._variant.text, self._in_segment = [], True
        elif name in _CODES:
            self._codes += 1

    def _characters(self, text: str) -> None:
        if self._in_segment and not self._codes and self._variant and self._variant.text is not None:
            self._variant.text.append(text)

    def _end(self, name: str) -> None:
        if name == "seg":
            self._in_segment = False
        elif name in _CODES:
            self._codes -= 1
        elif name == "tuv" and self._variant:
            if self._variant.text is None:
                self._fail(f"the <tuv> in {self._variant.language} has no <seg>")
            self._unit.append((self._variant.language, "".join(self._variant.text)))
            self._variant = None
        elif name == "tu":
            self._units.append(self._unit)
            self._unit = []
