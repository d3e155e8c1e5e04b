"""Characters that do not belong in a sentence, where they are, and the line without them.

Each finder takes a side's `Lines` and yields (line, column) of the first fault in each line that has one.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Iterator

from transformer.data.doctor.line_features import Lines

Finder = Callable[[Lines], Iterator[tuple[int, int]]]

# Classes of characters, as they stand within the brackets of a regular expression.
NUL = "\\x00"
CONTROL = "\\x01-\\x08\\x0e-\\x1b\\x1f\\x7f-\\x84\\x86-\\x9f"
CARRIAGE_RETURN = "\\r"
# What str.splitlines, and tools that are built on the like, take for the end of a line.
SEPARATOR = "\\x0b\\x0c\\x1c-\\x1e\\x85\\u2028\\u2029"
INVISIBLE = "\\xad\\u061c\\u180e\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff"
REPLACEMENT = "\\ufffd"
PRIVATE = "\\ue000-\\uf8ff\\ufdd0-\\ufdef\\ufffe\\uffff\\U000f0000-\\U0010ffff"
# Not U+00A0 and U+202F, which French typography puts before ; : ! ? and within numbers.
ODD_SPACE = "\\u1680\\u2000-\\u200a\\u205f\\u3000"

_RARE = re.compile(f"[{NUL}{CONTROL}{CARRIAGE_RETURN}{SEPARATOR}{INVISIBLE}{REPLACEMENT}{PRIVATE}{ODD_SPACE}]")


def of_class(characters: str) -> Finder:
    """Finds characters of one of the classes above."""
    pattern = re.compile(f"[{characters}]")

    def find(lines: Lines) -> Iterator[tuple[int, int]]:
        # One search serves all classes: most text has nothing of the kind.
        return lines.matches(pattern) if lines.has(_RARE) else iter(())

    return find


# UTF-8 read as Windows-1252 or Latin-1: the first byte as a letter, the others as what stands at 80 to BF there.
_LATER = "".join(bytes([code]).decode("cp1252", "ignore") + chr(code) for code in range(0x80, 0xC0))
_MOJIBAKE = re.compile(f"[ÂÃÄÅ][{re.escape(_LATER)}]|â[€‚„\\x80][{re.escape(_LATER)}]|Ã(?= )")
_DEPTH = 3  # times that text was encoded wrongly, one upon the other
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]*(?:\s[^<>\n]*)?/?>|<!--[^\n]*?-->")
_TAB = re.compile("\t")
_DOUBLE_SPACE = re.compile("  +")
_RUN = re.compile(r"(\S)\1{11}")  # a character twelve times
_MANY_WORDS = 12  # of which a quarter are unlike


def mojibake(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds é that has become Ã©, and its kind."""
    return lines.matches(_MOJIBAKE)


def entity(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds entities of HTML, such as &amp; or &#39;."""
    for line, column in lines.matches(_ENTITY):
        # What looks like one may be none; then there may be another behind it.
        match = next((m for m in _ENTITY.finditer(lines.lines[line], column) if html.unescape(m[0]) != m[0]), None)
        if match:
            yield line, match.start()


def tag(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds tags and comments of HTML or XML."""
    return lines.matches(_TAG)


def tab(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds tabs inside a line."""
    return ((line, column) for line, column in lines.matches(_TAB) if lines.lines[line].strip())


def double_space(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds two spaces or more in a row, inside a line."""
    for line, _ in lines.matches(_DOUBLE_SPACE):
        text = lines.lines[line]
        column = text.find("  ", len(text) - len(text.lstrip()), len(text.rstrip()))
        if column >= 0:
            yield line, column


def edge_space(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds white space before or after a sentence."""
    for index, line in enumerate(lines.lines):
        inside = line.strip()
        if inside != line and inside:
            yield index, 0 if line[0].isspace() else len(line)


def blank(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds lines of white space alone."""
    return ((index, 0) for index, line in enumerate(lines.lines) if line and not line.strip())


def empty(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds lines with nothing in them."""
    return ((index, 0) for index, line in enumerate(lines.lines) if not line)


def line_break(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds lines that had a line feed inside: a file has none, but another corpus may."""
    return ((index, 0) for index in lines.broken)


def wordless(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds lines that have characters but neither a letter nor a digit."""
    for index, words in enumerate(lines.words):
        if not words and lines.lines[index].strip() and not any(map(str.isalnum, lines.lines[index])):
            yield index, 0


def not_composed(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds lines that are not in Unicode's normal form C, such as e followed by a combining accent."""
    if not unicodedata.is_normalized("NFC", lines.text):
        for index, line in enumerate(lines.lines):
            composed = unicodedata.normalize("NFC", line)
            if composed != line:
                yield index, next((at for at, (a, b) in enumerate(zip(line, composed, strict=False)) if a != b), 0)


def repetition(lines: Lines) -> Iterator[tuple[int, int]]:
    """Finds a character, or a few words, over and over."""
    runs = dict(lines.matches(_RUN))
    for index, words in enumerate(lines.words):
        if index in runs or (len(words) >= _MANY_WORDS and len(set(words)) * 4 <= len(words)):
            yield index, runs.get(index, 0)


_DELETED = re.compile(f"[{NUL}{CONTROL}{INVISIBLE}]")
# U+00A0 and U+202F are white space, too, but stay where they are inside a line.
_SPACES = re.compile(f"[ \\t{CARRIAGE_RETURN}{SEPARATOR}{ODD_SPACE}]+")


def mended(line: str) -> str:
    """The line with all of this mended that can be: no character is guessed that is lost."""
    for _ in range(_DEPTH):
        line = _MOJIBAKE.sub(_decoded, line)
    for _ in range(_DEPTH):
        line = html.unescape(line) if _ENTITY.search(line) else line
    line = _TAG.sub(" ", line)
    line = _SPACES.sub(" ", _DELETED.sub("", line))
    return unicodedata.normalize("NFC", line).strip()


def _decoded(match: re.Match[str]) -> str:
    text = match[0]
    if text == "Ã":  # à, whose second byte reads as a no-break space and has since become a space
        return "à"
    data = b"".join(_byte(character) for character in text)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return text


def _byte(character: str) -> bytes:
    return character.encode("latin-1" if ord(character) < 0x100 else "cp1252")
