"""Checks for characters that do not belong in a sentence, and the repair of such lines.

Each finder takes a `LineBlock` and yields (line, column) of the first fault in each faulty line.
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from transformer.data.doctor import markup, word_checks
from transformer.data.doctor.line_features import LineBlock, character_table

LineFinder = Callable[[LineBlock], Iterator[tuple[int, int]]]

# Classes of characters, for the brackets of a regular expression.
NUL = "\\x00"
CONTROL = "\\x01-\\x08\\x0e-\\x1b\\x1f\\x7f-\\x84\\x86-\\x9f"
CARRIAGE_RETURN = "\\r"
# Characters at which str.splitlines, and tools with similar rules, break a line.
SEPARATOR = "\\x0b\\x0c\\x1c-\\x1e\\x85\\u2028\\u2029"
INVISIBLE = "\\xad\\u061c\\u180e\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff"
# A zero-width joiner makes one emoji of two. Persian, Indic and other scripts have joiners and non-joiners in
# words, and Thai, Khmer and others may have zero-width spaces between them.
_JOINED, _UNSPACED = "\\u0600-\\u18af", "\\u0e00-\\u109f\\u1780-\\u17ff"
_EMOJI = "\\u2190-\\u2bff\\ufe0f\\U0001f000-\\U0001faff"
STRAY_JOINER = f"(?<![{_JOINED}])(?:(?<![{_EMOJI}])\\u200d|\\u200d(?![{_EMOJI}])|\\u200c)|(?<![{_UNSPACED}])\\u200b"
REPLACEMENT = "\\ufffd"
PRIVATE = "\\ue000-\\uf8ff\\ufdd0-\\ufdef\\ufffe\\uffff\\U000f0000-\\U0010ffff"
# Without U+00A0 and U+202F, which French typography uses before ; : ! ? and in numbers.
ODD_SPACE = "\\u1680\\u2000-\\u200a\\u205f\\u3000"

_UNUSUAL = character_table(
    f"{NUL}{CONTROL}{CARRIAGE_RETURN}{SEPARATOR}{INVISIBLE}{REPLACEMENT}{PRIVATE}{ODD_SPACE}\\u200b-\\u200d"
)


def find_any_of(characters: str) -> LineFinder:
    """Returns a finder for characters of one of the classes above."""
    return functools.partial(
        _first_in_lines,
        _UNUSUAL,
        re.compile(f"[{characters}]|{STRAY_JOINER}" if characters == INVISIBLE else f"[{characters}]"),
    )


def _first_in_lines(characters: np.ndarray, pattern: re.Pattern[str], block: LineBlock) -> Iterator[tuple[int, int]]:
    """Yields the first match in each line; only lines with some of these characters are searched."""
    for index in block.lines_with_any(characters):
        if match := pattern.search(block.lines[index]):
            yield index, match.start()


# UTF-8 decoded as Windows-1252 or Latin-1: the first byte becomes a letter, the others the characters of 80 to BF.
_CONTINUATION = "".join(bytes([code]).decode("cp1252", "ignore") + chr(code) for code in range(0x80, 0xC0))
_MOJIBAKE = re.compile(f"[ÂÃÄÅ][{re.escape(_CONTINUATION)}]|â[€‚„\\x80][{re.escape(_CONTINUATION)}]|Ã(?= )")
_LEADING = character_table("ÂÃÄÅâ")
_MAX_DEPTH = 3  # maximum number of nested wrong decodings
_TAB = re.compile("\t")
_DOUBLE_SPACE = re.compile("  +")
_MIN_RUN = 12  # equal characters
_REPEATED_CHARACTER = re.compile(rf"(\S)\1{{{_MIN_RUN - 1}}}")
_MIN_WORDS = 12  # words of a line of which at most a quarter are different


def mojibake(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds UTF-8 that was decoded as Windows-1252, such as Ã© for é."""
    return _first_in_lines(_LEADING, _MOJIBAKE, block)


def entity(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds HTML entities, such as &amp; or &#39;."""
    return _columns(block, "&", markup.first_entity)


def tag(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds HTML or XML tags and comments."""
    return _columns(block, "<", markup.first_tag)


def _columns(block: LineBlock, start: str, first: Callable[[str], int | None]) -> Iterator[tuple[int, int]]:
    for line in block.lines_with(start):
        column = first(block.lines[line])
        if column is not None:
            yield line, column


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
    first_runs = dict(block.first_matches(_REPEATED_CHARACTER)) if block.longest_run >= _MIN_RUN else {}
    features = block.features
    # Stems are fewer than words.
    few = (features.num_words >= _MIN_WORDS) & (np.bitwise_count(features.cognates) * 4 <= features.num_words)
    repetitive = {index for index in np.flatnonzero(few).tolist() if _is_repetitive(block.words[index])}
    for index in sorted(repetitive.union(first_runs)):
        yield index, first_runs.get(index, 0)


def _is_repetitive(words: Sequence[bytes]) -> bool:
    return len(set(words)) * 4 <= len(words)


_DELETED = re.compile(f"[{NUL}{CONTROL}{INVISIBLE}]|{STRAY_JOINER}")
# Without U+00A0 and U+202F, which are white space but are kept inside a line.
_SPACES = re.compile(f"[ \\t{CARRIAGE_RETURN}{SEPARATOR}{ODD_SPACE}]+")


def repaired_line(line: str) -> tuple[str, bool]:
    """Returns the line with all repairable faults repaired, and whether it keeps all words.

    Lost characters are not guessed.
    """
    for _ in range(_MAX_DEPTH):
        line = _MOJIBAKE.sub(_decode_mojibake, line)
    line, keeps_words = markup.without_markup(line)
    line = _SPACES.sub(" ", _DELETED.sub("", line))
    return word_checks.with_latin_letters(unicodedata.normalize("NFC", line).strip()), keeps_words


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
