"""Faults of a whole split: sides that are not what they should be, or that do not belong together line by line.

Each finder takes a `Split` and how many places to show, and yields `Hits`.
"""

from collections.abc import Iterator

import numpy as np

from transformer.data.doctor.alignment_checks import Passage
from transformer.data.doctor.findings import Hits
from transformer.data.doctor.language import OTHER, THIRD, UNKNOWN
from transformer.data.doctor.line_features import Side
from transformer.data.doctor.split import Split

_FEWEST = 20  # lines from which on a majority says something
_MAJORITY = 0.5
_WORDS = 4  # of a line that has a language to speak of
# Shares of a split above which a passage spoils training. Lines may look unrelated and only be of an unusual kind.
_SHARE_SHIFTED, _SHARE_UNRELATED = 0.01, 0.1
_END = 8  # lines before a split's end that count as its end: a shift that nothing mends


def line_counts(split: Split, limit: int) -> Iterator[Hits]:
    """Finds sides of unlike numbers of lines, and says from where on they differ."""
    source, target = len(split.source), len(split.target)
    if source == target:
        return
    detail = f"{source:,} source lines and {target:,} target lines"
    lost = split.passages
    where = f"; from about here on, {_says(split, lost[0])}" if lost else "; as far as both go, they seem to pair"
    yield Hits([each.start for each in lost[:1]], 1, detail=detail + where)


def same_text(split: Split, limit: int) -> Iterator[Hits]:
    """Finds a split whose two sides are one text."""
    if _comparable(split):
        same = (split.source.key == split.target.key) & (split.source.key != 0)
        if same.mean() > _MAJORITY:
            yield Hits([], 1, detail=f"{same.sum():,} of {len(same):,} pairs are copies")


def swapped(split: Split, limit: int) -> Iterator[Hits]:
    """Finds a split with each side in the other's language."""
    shares = [_share(side, (OTHER,)) for side in (split.source, split.target)]
    if min(shares) > _MAJORITY:
        yield Hits([], 1, detail=f"{shares[0]:.0%} of the source and {shares[1]:.0%} of the target")


def wrong_language_throughout(split: Split, limit: int) -> Iterator[Hits]:
    """Finds a side that is not in its language."""
    for number, side in enumerate((split.source, split.target)):
        share = _share(side, (OTHER, THIRD))
        if share > _MAJORITY:
            yield Hits([], 1, side=number, detail=f"{share:.0%} of the lines that have a language")


def shifted(split: Split, limit: int) -> Iterator[Hits]:
    """Finds a pairing that is shifted by some lines in much of the split, or up to its end."""
    yield from _lost(split, limit, are_shifted=True, much=True)


def shifted_passage(split: Split, limit: int) -> Iterator[Hits]:
    """Finds passages in which the pairing is shifted by some lines, and is right again after them."""
    yield from _lost(split, limit, are_shifted=True, much=False)


def unrelated(split: Split, limit: int) -> Iterator[Hits]:
    """Finds sides that are not each other's translations in much of the split, or up to its end."""
    yield from _lost(split, limit, are_shifted=False, much=True)


def unrelated_passage(split: Split, limit: int) -> Iterator[Hits]:
    """Finds passages in which lines are not each other's translations."""
    yield from _lost(split, limit, are_shifted=False, much=False)


def _comparable(split: Split) -> bool:
    return len(split.source) == len(split.target) >= _FEWEST


def _share(side: Side, languages: tuple[int, ...]) -> float:
    """The share of lines in these languages among those whose language is known."""
    known = (side.language != UNKNOWN) & (side.words >= _WORDS)
    return float(np.isin(side.language[known], languages).mean()) if known.sum() >= _FEWEST else 0.0


def _lost(split: Split, limit: int, are_shifted: bool, much: bool) -> Iterator[Hits]:
    if len(split.source) != len(split.target):
        return  # a fault of its own, which says the first place
    size = len(split.source)
    share = _SHARE_SHIFTED if are_shifted else _SHARE_UNRELATED

    def spoils(passage: Passage) -> bool:
        return passage.stop - passage.start > share * size or (are_shifted and passage.stop >= size - _END)

    lost = [each for each in split.passages if (each.shift is not None) == are_shifted and spoils(each) == much]
    if lost:
        shown = lost[:limit]
        more = f", and {len(lost) - 1:,} more such passages" if len(lost) > 1 else ""
        says = [_says(split, each) for each in shown]
        yield Hits([each.start for each in shown], len(lost), says if more else [], detail=says[0] + more)


def _says(split: Split, passage: Passage) -> str:
    size = f"{split.at(passage.stop - 1) + 1 - split.at(passage.start):,} lines"
    if passage.shift is None:
        return f"{size}, which are no translations of each other nor of lines near them"
    lines = f"{abs(passage.shift)} line{'s' if abs(passage.shift) > 1 else ''}"
    return f"the translations of {size} stand {lines} {'later' if passage.shift > 0 else 'earlier'}"
