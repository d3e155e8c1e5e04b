"""Checks for characters that do not belong in a sentence, and the repair of such lines.

Each finder takes a `LineBlock` and yields (line, column) of the first fault in each faulty line.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Iterator

from transformer.data.doctor.line_features import LineBlock

LineFinder = Callable[[LineBlock], Iterator[tuple[int, int]]]

# Classes of characters, for the brackets of a regular expression.
NUL = "\\x00"
CONTROL = "\\x01-\\x08\\x0e-\\x1b\\x1f\\x7f-\\x84\\x86-\\x9f"
CARRIAGE_RETURN = "\\r"
# Characters at which str.splitlines, and tools with similar rules, break a line.
SEPARATOR = "\\x0b\\x0c\\x1c-\\x1e\\x85\\u2028\\u2029"
INVISIBLE = "\\xad\\u061c\\u180e\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff"
REPLACEMENT = "\\ufffd"
PRIVATE = "\\ue000-\\uf8ff\\ufdd0-\\ufdef\\ufffe\\uffff\\U000f0000-\\U0010ffff"
# Without U+00A0 and U+202F, which French typography uses before ; : ! ? and in numbers.
ODD_SPACE = "\\u1680\\u2000-\\u200a\\u205f\\u3000"

_ANY_UNUSUAL = re.compile(f"[{NUL}{CONTROL}{CARRIAGE_RETURN}{SEPARATOR}{INVISIBLE}{REPLACEMENT}{PRIVATE}{ODD_SPACE}]")


def find_any_of(characters: str) -> LineFinder:
    """Returns a finder for characters of one of the classes above."""
    pattern = re.compile(f"[{characters}]")

    def find(block: LineBlock) -> Iterator[tuple[int, int]]:
        # One search for all classes: most blocks have none of these characters.
        return block.first_matches(pattern) if block.contains(_ANY_UNUSUAL) else iter(())

    return find


# UTF-8 decoded as Windows-1252 or Latin-1: the first byte becomes a letter, the others the characters of 80 to BF.
_CONTINUATION = "".join(bytes([code]).decode("cp1252", "ignore") + chr(code) for code in range(0x80, 0xC0))
_MOJIBAKE = re.compile(f"[ÂÃÄÅ][{re.escape(_CONTINUATION)}]|â[€‚„\\x80][{re.escape(_CONTINUATION)}]|Ã(?= )")
_MAX_DEPTH = 3  # maximum number of nested wrong decodings
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]*(?:\s[^<>\n]*)?/?>|<!--[^\n]*?-->")
_TAB = re.compile("\t")
_DOUBLE_SPACE = re.compile("  +")
_REPEATED_CHARACTER = re.compile(r"(\S)\1{11}")  # a character 12 times
_MIN_WORDS = 12  # words of a line of which at most a quarter are different


def mojibake(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds UTF-8 that was decoded as Windows-1252, such as Ã© for é."""
    return block.first_matches(_MOJIBAKE)


def entity(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds HTML entities, such as &amp; or &#39;."""
    for line, column in block.first_matches(_ENTITY):
        # The first match may not be an entity; a later one may be.
        match = next((m for m in _ENTITY.finditer(block.lines[line], column) if html.unescape(m[0]) != m[0]), None)
        if match:
            yield line, match.start()


def tag(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds HTML or XML tags and comments."""
    return block.first_matches(_TAG)


def tab(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds tabs inside a line."""
    return ((line, column) for line, column in block.first_matches(_TAB) if block.lines[line].strip())


def double_space(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds consecutive spaces inside a line."""
    for line, _ in block.first_matches(_DOUBLE_SPACE):
        text = block.lines[line]
        column = text.find("  ", len(text) - len(text.lstrip()), len(text.rstrip()))
        if column >= 0:
            yield line, column


def edge_space(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds white space at the start or end of a line."""
    for index, line in enumerate(block.lines):
        stripped = line.strip()
        if stripped != line and stripped:
            yield index, 0 if line[0].isspace() else len(line)


def blank(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds lines of white space only."""
    return ((index, 0) for index, line in enumerate(block.lines) if line and not line.strip())


def empty(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds empty lines."""
    return ((index, 0) for index, line in enumerate(block.lines) if not line)


def line_break(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds lines with a line feed inside, which only a corpus without files may have."""
    return ((index, 0) for index in block.with_line_feed)


def wordless(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds lines with characters but without a letter or digit."""
    for index, words in enumerate(block.words):
        if not words and block.lines[index].strip() and not any(map(str.isalnum, block.lines[index])):
            yield index, 0


def not_composed(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds lines that are not in Unicode normal form C, such as e with a combining accent."""
    if not unicodedata.is_normalized("NFC", block.text):
        for index, line in enumerate(block.lines):
            composed = unicodedata.normalize("NFC", line)
            if composed != line:
                differs = (a != b for a, b in zip(line, composed, strict=False))
                yield index, next((column for column, differ in enumerate(differs) if differ), 0)


def repetition(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds lines that repeat a character or a few words."""
    first_runs = dict(block.first_matches(_REPEATED_CHARACTER))
    for index, words in enumerate(block.words):
        if index in first_runs or (len(words) >= _MIN_WORDS and len(set(words)) * 4 <= len(words)):
            yield index, first_runs.get(index, 0)


_DELETED = re.compile(f"[{NUL}{CONTROL}{INVISIBLE}]")
# Without U+00A0 and U+202F, which are white space but are kept inside a line.
_SPACES = re.compile(f"[ \\t{CARRIAGE_RETURN}{SEPARATOR}{ODD_SPACE}]+")


def repaired_line(line: str) -> str:
    """Returns the line with all repairable faults repaired; lost characters are not guessed."""
    for _ in range(_MAX_DEPTH):
        line = _MOJIBAKE.sub(_decode_mojibake, line)
    for _ in range(_MAX_DEPTH):
        line = html.unescape(line) if _ENTITY.search(line) else line
    line = _TAG.sub(" ", line)
    line = _SPACES.sub(" ", _DELETED.sub("", line))
    return unicodedata.normalize("NFC", line).strip()


def _decode_mojibake(match: re.Match[str]) -> str:
    text = match[0]
    if text == "Ã":  # à: its second byte became a no-break space, and later a space
        return "à"
    # Each character is one byte, of Latin-1 or of Windows-1252.
    data = b"".join(character.encode("latin-1" if ord(character) < 0x100 else "cp1252") for character in text)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return text
