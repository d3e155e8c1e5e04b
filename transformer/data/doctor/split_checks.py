"""Checks of a complete split: languages of the sides, and their line alignment.

Each finder takes `SplitFeatures` and the number of examples, and yields `Occurrences`.
"""

from collections.abc import Iterator

import numpy as np

from transformer.data.doctor.alignment_checks import MisalignedPassage
from transformer.data.doctor.findings import Occurrences
from transformer.data.doctor.language import OTHER, THIRD, UNKNOWN
from transformer.data.doctor.line_features import SideFeatures
from transformer.data.doctor.split_features import SplitFeatures

_MIN_LINES = 20  # lines from which a majority is meaningful
_MAJORITY = 0.5
_MIN_WORDS = 4  # words of a line from which its language is reliable
# Shares of a split above which a passage degrades training. Lines of an unusual kind may look unrelated.
_MAX_SHIFTED, _MAX_UNRELATED = 0.01, 0.1
_END = 8  # lines; a shift that ends within them continues to the end of the split


def line_counts(split: SplitFeatures, limit: int) -> Iterator[Occurrences]:
    """Finds sides with different numbers of lines, and estimates the first misaligned line."""
    source, target = len(split.source), len(split.target)
    if source == target:
        return
    detail = f"{source:,} source lines and {target:,} target lines"
    if split.misaligned:
        first = split.misaligned[0]
        detail = f"{detail}; from about this line on, {_description(split, first)}"
        yield Occurrences([first.start], 1, detail=detail)
    else:
        yield Occurrences([], 1, detail=f"{detail}; the lines that both have seem to be aligned")


def same_text(split: SplitFeatures, limit: int) -> Iterator[Occurrences]:
    """Finds a split with the same text on both sides."""
    if len(split.source) == len(split.target) >= _MIN_LINES:
        same = (split.source.hashes == split.target.hashes) & (split.source.hashes != 0)
        if same.mean() > _MAJORITY:
            yield Occurrences([], 1, detail=f"{same.sum():,} of {len(same):,} pairs are copies")


def swapped_sides(split: SplitFeatures, limit: int) -> Iterator[Occurrences]:
    """Finds a split with each side in the other's language."""
    shares = [_language_share(side, (OTHER,)) for side in split.sides]
    if min(shares) > _MAJORITY:
        yield Occurrences([], 1, detail=f"{shares[0]:.0%} of the source and {shares[1]:.0%} of the target")


def wrong_language_throughout(split: SplitFeatures, limit: int) -> Iterator[Occurrences]:
    """Finds a side that is not in its language."""
    for number, side in enumerate(split.sides):
        share = _language_share(side, (OTHER, THIRD))
        if share > _MAJORITY:
            yield Occurrences([], 1, side=number, detail=f"{share:.0%} of the lines with a known language")


def _language_share(side: SideFeatures, languages: tuple[int, ...]) -> float:
    """Returns the share of lines in these languages among the lines whose language is known."""
    known = (side.languages != UNKNOWN) & (side.num_words >= _MIN_WORDS)
    return float(np.isin(side.languages[known], languages).mean()) if known.sum() >= _MIN_LINES else 0.0


def misaligned(split: SplitFeatures, limit: int, are_shifted: bool, large: bool) -> Iterator[Occurrences]:
    """Finds passages with a shifted alignment, or with unrelated sides.

    Args:
      split: the split.
      limit: number of examples.
      are_shifted: whether the lines are shifted, else unrelated.
      large: finds passages that are a large part of the split, or shifted up to its end; else shorter ones.
    """
    if len(split.source) != len(split.target):
        return  # `line_counts` reports the first misaligned line
    size = len(split.source)
    max_share = _MAX_SHIFTED if are_shifted else _MAX_UNRELATED

    def is_large(passage: MisalignedPassage) -> bool:
        length = passage.stop - passage.start
        return length > max_share * size or (are_shifted and passage.stop >= size - _END)

    passages = [passage for passage in split.misaligned if (passage.shift is not None) == are_shifted]
    passages = [passage for passage in passages if is_large(passage) == large]
    if passages:
        more = f", and {len(passages) - 1:,} more such passages" if len(passages) > 1 else ""
        starts = [passage.start for passage in passages[:limit]]
        descriptions = [_description(split, passage) for passage in passages[:limit]]
        yield Occurrences(starts, len(passages), descriptions if more else [], detail=descriptions[0] + more)


def _description(split: SplitFeatures, passage: MisalignedPassage) -> str:
    size = split.index_in_split(passage.stop - 1) + 1 - split.index_in_split(passage.start)
    if passage.shift is None:
        return f"{size:,} lines are not translations of each other or of lines near them"
    lines = f"{abs(passage.shift)} line{'s' if abs(passage.shift) > 1 else ''}"
    return f"the translations of {size:,} lines are {lines} {'later' if passage.shift > 0 else 'earlier'}"
