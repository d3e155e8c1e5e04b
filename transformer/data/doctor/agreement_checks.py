"""Checks for parts of a pair that a translation keeps: numbers, placeholders, brackets, capitals, the last mark.

Each finder takes a `PairBlock`, and some a side of it, and yields the indices of faulty pairs.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from transformer.data.doctor.line_features import PairBlock

_NUMBER = re.compile(r"\d+")
_COUNTED = re.compile("[0-9] ?[十百千万萬亿億兆십백천만억조]")  # 25万 is 250,000
_PLACEHOLDER = re.compile(
    r"%\(\w+\)[sdifr]|(?<![\d%])%(?:\d+\$)?(?:\.\d+)?l{0,2}[sdifuxgc](?!\w)|%[A-Z_]{3,}%|\$?\{[\w.]*\}|\{\{ ?\w+ ?\}\}"
)
_NO_BRACKETS = re.compile(
    r"(?<![\w(])(?:\d{1,2}|[a-z]|[ivx]{2,4})\.?\)|[:;=]['-]?[()\[\]]"
)  # the bracket after an item's number, and smileys
_BRACKETS = ("()", "[]", "{}")
_MIN_CAPITALS = 10
_CLOSING = " \u00a0\u202f\"'”’»)]*"
_ENDS = {".": ".", "…": ".", "?": "?", "!": "!", ":": ":"}
_ENDS |= {
    "。": ".",
    "？": "?",
    "！": "!",
    "：": ":",
    "؟": "?",
    "۔": ".",
    "।": ".",
    "։": ".",
    "።": ".",
    "။": ".",
    "។": ".",
}
_MIN_SENTENCE = 4  # words of a line from which a missing full stop is a fault


def numbers(block: PairBlock) -> Iterator[int]:
    """Finds pairs in which each side has numbers that the other side lacks."""
    digits = [side.counts("digit") for side in (block.source, block.target)]
    for index in np.flatnonzero((digits[0] > 0) & (digits[1] > 0)).tolist():
        sides = [_NUMBER.findall(side.lines[index]) for side in (block.source, block.target)]
        if sides[0] != sides[1] and _disagree(*sides) and not any(_COUNTED.search(s.lines[index]) for s in block.sides):
            yield index


def _disagree(source: list[str], target: list[str]) -> bool:
    first, second = ([number.lstrip("0") or "0" for number in side] for side in (source, target))
    missing, additional = list((Counter(first) - Counter(second)).elements()), Counter(second) - Counter(first)
    unmatched = list(additional.elements())
    if not missing or not unmatched:
        return False  # a number may also be a word
    if "".join(source) == "".join(target) or (
        sorted("".join(missing)) == sorted("".join(unmatched))
        and (
            len(missing) != len(unmatched)  # other thousands separators
        )
    ):
        return False
    return not all(any(_are_equivalent(number, other) for other in unmatched) for number in missing)


def _are_equivalent(number: str, other: str) -> bool:
    """Returns whether two numbers may be the same time on clocks of 12 and of 24 hours, or the same year."""
    if {len(number), len(other)} == {2, 4} and (number.endswith(other) or other.endswith(number)):
        return True
    return max(len(number), len(other)) <= 2 and abs(int(number) - int(other)) == 12


def placeholders(block: PairBlock) -> Iterable[int]:
    """Finds pairs with different placeholders for values, such as %s, %(name)s or {0}."""
    lines = {index for side in block.sides for index in side.lines_with("%", "{")}
    return [index for index in sorted(lines) if len({*(_placeholders(side.lines[index]) for side in block.sides)}) > 1]


def _placeholders(line: str) -> tuple[str, ...]:
    return tuple(sorted(_PLACEHOLDER.findall(line)))


def brackets(block: PairBlock, side: int) -> Iterator[int]:
    """Finds lines of one side with unbalanced brackets whose translation has balanced ones."""
    this, other = block.sides[side], block.sides[1 - side]
    faulty = np.zeros(len(this), bool)
    for pair in _BRACKETS:
        if not any(mark in lines.text for mark in pair for lines in (this, other)):
            continue
        unbalanced, expected = (lines.counts(pair[0]) - lines.counts(pair[1]) for lines in (this, other))
        faulty |= (unbalanced != 0) & (expected == 0)
    for index in np.flatnonzero(faulty).tolist():
        text, translation = (_NO_BRACKETS.sub("", lines.lines[index]) for lines in (this, other))
        for first, last in _BRACKETS:
            if text.count(first) != text.count(last) and translation.count(first) == translation.count(last):
                yield index
                break


def capitals(block: PairBlock, side: int) -> Iterable[int]:
    """Finds lines of one side in capitals whose translation is not."""
    this, other = block.sides[side], block.sides[1 - side]
    in_capitals = (this.counts("lower") == 0) & (this.counts("upper") >= _MIN_CAPITALS)
    in_capitals &= this.counts("foreign") <= this.counts("upper")  # else a script without case, with names in capitals
    is_ordinary = other.counts("lower") > 2 * other.counts("upper")
    is_copy = this.features.hashes == other.features.hashes
    return np.flatnonzero(in_capitals & is_ordinary & ~is_copy & (this.features.num_words > 1)).tolist()


def end_punctuation(block: PairBlock) -> Iterator[int]:
    """Finds pairs of which one side ends as a sentence, a question or an exclamation, and the other one does not."""
    source, target = block.features
    for index in np.flatnonzero(source.last_characters != target.last_characters).tolist():
        ends = [sentence_end(side.lines[index]) for side in (block.source, block.target)]
        if None in ends or ends[0] == ends[1]:
            continue
        if min(source.num_words[index], target.num_words[index]) >= (_MIN_SENTENCE if "" in ends else 1):
            yield index


def sentence_end(line: str) -> str | None:
    """Returns the mark at the end of a line, "" after a letter or a digit, and None after any other character."""
    last = line.rstrip(_CLOSING)[-1:]
    return _ENDS.get(last, "" if last.isalnum() else None)
