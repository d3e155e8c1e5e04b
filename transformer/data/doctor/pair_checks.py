"""Checks of pairs, block by block.

Each finder takes a `PairBlock` and yields the indices of faulty pairs in it.
"""

from collections.abc import Iterable

import numpy as np

from transformer.data.doctor.language import OTHER, THIRD
from transformer.data.doctor.line_features import PairBlock

_MIN_COPY_WORDS = 3  # shorter copies may be names and numbers, which are equal in both languages
_MAX_RATIO = 3  # between lengths in characters; clean corpora stay below 2.2
_SLACK = 10  # characters added to both lengths, so that the ratio of short sentences may be larger
_MAX_CHARACTERS = 5000


def copies(block: PairBlock) -> Iterable[int]:
    """Finds targets that are copies of their source, except for case and punctuation."""
    source, target = block.features
    is_copy = (source.hashes == target.hashes) & (source.hashes != 0)
    return _indices(is_copy & (source.num_words >= _MIN_COPY_WORDS))


def length_ratio(block: PairBlock) -> Iterable[int]:
    """Finds pairs with one side several times as long as the other."""
    source, target = (side.num_characters + _SLACK for side in block.features)
    ratio = np.maximum(source, target) / np.minimum(source, target)
    # A side without words is a separate fault.
    return _indices((ratio > _MAX_RATIO) & (block.features[0].num_words > 0) & (block.features[1].num_words > 0))


def swapped_languages(block: PairBlock) -> Iterable[int]:
    """Finds pairs with each side in the other's language."""
    source, target = block.features
    return _indices((source.languages == OTHER) & (target.languages == OTHER))


def wrong_language(block: PairBlock, side: int) -> Iterable[int]:
    """Finds lines of one side in a wrong language, unless another fault of the pair explains them."""
    source, target = block.features
    wrong = np.isin(block.features[side].languages, (OTHER, THIRD))
    swapped = (source.languages == OTHER) & (target.languages == OTHER)
    copied = (source.hashes == target.hashes) & (source.num_words >= _MIN_COPY_WORDS)
    return _indices(wrong & ~swapped & ~copied)


def overlong(block: PairBlock) -> Iterable[int]:
    """Finds pairs with more words, and so certainly more tokens, than `max_length`, which counts end-of-sentence."""
    if block.max_length is None:
        return
    source, target = block.features
    # `num_words` splits at apostrophes, which tokens need not do.
    for index in np.flatnonzero(np.maximum(source.num_words, target.num_words) >= block.max_length).tolist():
        if max(len(side.lines[index].split()) for side in (block.source, block.target)) >= block.max_length:
            yield index


def enormous(block: PairBlock) -> Iterable[int]:
    """Finds pairs with a side too long for a sentence."""
    source, target = block.features
    return _indices(np.maximum(source.num_characters, target.num_characters) > _MAX_CHARACTERS)


def _indices(faulty: np.ndarray) -> list[int]:
    return np.flatnonzero(faulty).tolist()
