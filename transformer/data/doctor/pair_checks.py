"""Pairs that are no translations, block by block.

Each finder takes a `Block` and yields the places of faulty pairs in it.
"""

from collections.abc import Iterable

import numpy as np

from transformer.data.doctor.language import OTHER, THIRD
from transformer.data.doctor.line_features import Block

_FEWEST_WORDS = 3  # of a copy: names and numbers are the same in both languages
_RATIO = 3  # between lengths in characters; a clean corpus keeps below 2.2
_SLACK = 10  # characters added to both lengths, so that short sentences may differ more
_LONGEST = 5000  # characters of a sentence


def _places(faulty: np.ndarray) -> list[int]:
    return np.flatnonzero(faulty).tolist()


def copies(block: Block) -> Iterable[int]:
    """Finds targets that are their source, apart from case and punctuation."""
    source, target = block.sides
    return _places((source.key == target.key) & (source.key != 0) & (source.words >= _FEWEST_WORDS))


def unlike_lengths(block: Block) -> Iterable[int]:
    """Finds pairs of which one side is several times as long as the other."""
    source, target = (side.characters + _SLACK for side in block.sides)
    ratio = np.maximum(source, target) / np.minimum(source, target)
    # A side without words is a fault of its own.
    return _places((ratio > _RATIO) & (block.sides[0].words > 0) & (block.sides[1].words > 0))


def exchanged(block: Block) -> Iterable[int]:
    """Finds pairs with each side in the other's language."""
    source, target = block.sides
    return _places((source.language == OTHER) & (target.language == OTHER))


def wrong_language(block: Block, side: int) -> Iterable[int]:
    """Finds lines of one side in a language that it should not be in, where no other fault of the pair says so."""
    source, target = block.sides
    wrong = np.isin(block.sides[side].language, (OTHER, THIRD))
    both = (source.language == OTHER) & (target.language == OTHER)
    copied = (source.key == target.key) & (source.words >= _FEWEST_WORDS)
    return _places(wrong & ~both & ~copied)


def too_long_to_train_on(block: Block) -> Iterable[int]:
    """Finds pairs with more words, and so certainly more tokens, than `max_length`; the end symbol is a token, too."""
    if block.max_length is None:
        return
    source, target = block.sides
    # Words as they are counted there part at apostrophes, which tokens need not do.
    for index in np.flatnonzero(np.maximum(source.words, target.words) >= block.max_length).tolist():
        if max(len(lines.lines[index].split()) for lines in (block.source, block.target)) >= block.max_length:
            yield index


def enormous(block: Block) -> Iterable[int]:
    """Finds pairs with a side too long to be a sentence."""
    source, target = block.sides
    return _places(np.maximum(source.characters, target.characters) > _LONGEST)
