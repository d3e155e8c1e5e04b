"""Checks of pairs, block by block.

Each finder takes a `PairBlock` and yields the indices of faulty pairs in it.
"""

import re
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from transformer.data.doctor.agreement_checks import sentence_end
from transformer.data.doctor.language import OTHER, THIRD, has_other_stretch, may_have_other_stretch, num_function_words
from transformer.data.doctor.line_features import LineBlock, PairBlock

_MIN_COPY_WORDS = 3  # shorter copies may be names and numbers, which are equal in both languages
# Near copies: words; share of equal words; share of equal stems; words for each function word among them.
_MIN_NEAR_WORDS, _MIN_SHARED, _MIN_SHARED_BITS, _MAX_WORDS_EACH = 4, 0.7, 0.5, 7
# A translation of half a sentence: bits by which the ratio of the lengths differs from that of most pairs, in general
# and with the end or a sentence missing; characters of the longer side.
_MIN_HALF, _MIN_LONG = 1.1, 100
_MIN_CUT_HALF, _MIN_WHOLE = 0.75, 50
_MIN_TYPICAL = 100  # pairs from which their median ratio is typical
_MIN_TYPICAL_UNLISTED = 20  # for other languages than French and English, which may differ much in length
_MAX_RATIO = 3  # between lengths in characters; clean corpora stay below 2.2
_SLACK = 10  # characters added to both lengths, so that the ratio of short sentences may be larger
_MAX_CHARACTERS = 5000
_ASIDE = re.compile(r"«[^»]*»|“[^”]*”|\"[^\"]*\"|\([^()]*\)|\[[^\[\]]*\]")
_SENTENCE_END = re.compile(r"[.!?]\s+\S")


def copies(block: PairBlock) -> Iterable[int]:
    """Finds targets that are copies of their source, except for case and punctuation."""
    source, target = block.features
    is_copy = (source.hashes == target.hashes) & (source.hashes != 0)
    return _indices(is_copy & (source.num_words >= _MIN_COPY_WORDS))


def near_copies(block: PairBlock) -> Iterator[int]:
    """Finds targets that consist of the words of their source, except for a few."""
    source, target = block.features
    shared, either = (
        np.bitwise_count(bits) for bits in (source.cognates & target.cognates, source.cognates | target.cognates)
    )
    similar = (shared >= _MIN_SHARED_BITS * either) & (
        np.minimum(source.num_words, target.num_words) >= _MIN_NEAR_WORDS
    )
    for index in np.flatnonzero(similar & (source.hashes != target.hashes)).tolist():
        first, second = ({*side.words[index]} for side in block.sides)
        shared_words = first & second
        size = max(len(first), len(second))
        # Lists of names and titles have few function words.
        if (
            len(shared_words) >= _MIN_SHARED * size
            and _MAX_WORDS_EACH * num_function_words(shared_words, block.target.lines[index]) >= size
        ):
            yield index


def length_ratio(block: PairBlock) -> Iterable[int]:
    """Finds pairs with one side several times as long as the other."""
    source, target = (side.num_characters + _SLACK for side in block.features)
    if not block.is_listed:
        typical = _typical_ratio(block)
        if typical is None:
            return []
        target = target * 2**typical
    ratio = np.maximum(source, target) / np.minimum(source, target)
    # A side without words is a separate fault.
    return _indices((ratio > _MAX_RATIO) & (block.features[0].num_words > 0) & (block.features[1].num_words > 0))


def _typical_ratio(block: PairBlock) -> float | None:
    """Returns the logarithm of the median ratio of the lengths; None if there are too few pairs."""
    lengths = np.stack([side.num_characters for side in block.features]).astype(float)
    ratios = _log_ratio(lengths)[lengths.max(0) >= _MIN_WHOLE]
    if block.is_listed:
        return float(np.median(ratios)) if len(ratios) >= _MIN_TYPICAL else 0.0
    return float(np.median(ratios)) if len(ratios) >= _MIN_TYPICAL_UNLISTED else None


def half_translations(block: PairBlock) -> Iterator[int]:
    """Finds pairs with one side about half as long as a translation of the other would be."""
    source, target = block.features
    lengths = np.stack([side.num_characters for side in block.features]).astype(float)
    ratio = _log_ratio(lengths)
    typical = _typical_ratio(block)
    if typical is None:
        return
    # Chinese characters say as much as several letters.
    scales = (1.0, 1.0) if block.is_listed else (max(1.0, 2**-typical), max(1.0, 2**typical))
    is_sentence = (lengths * np.array(scales)[:, None]).max(0) >= _MIN_WHOLE
    has_words = np.minimum(source.num_words, target.num_words) > 0
    too_long = set(length_ratio(block))
    for index in np.flatnonzero((np.abs(ratio - typical) > _MIN_CUT_HALF) & is_sentence & has_words).tolist():
        # Explanations in brackets and titles may be on one side only.
        texts = [_ASIDE.sub(" ", side.lines[index]) for side in block.sides]
        deviation = min(_log_ratio([len(text) for text in texts]) - typical, ratio[index] - typical, key=abs)
        shorter, longer = texts[::-1] if deviation > 0 else texts
        length = len(longer) * scales[int(deviation < 0)]
        is_cut = sentence_end(shorter) == "" and sentence_end(longer) not in ("", ":", None)
        lacks_sentence = len(_SENTENCE_END.findall(shorter)) < len(_SENTENCE_END.findall(longer))
        threshold, min_length = (_MIN_CUT_HALF, _MIN_WHOLE) if is_cut or lacks_sentence else (_MIN_HALF, _MIN_LONG)
        if abs(deviation) > threshold and length >= min_length and index not in too_long:
            yield index


def _log_ratio(lengths: ArrayLike) -> np.ndarray:
    source, target = np.log2(np.asarray(lengths) + 1)
    return source - target


def mixed_languages(block: PairBlock, side: int) -> Iterator[int]:
    """Finds lines of one side with a part in the language of the other side."""
    if not block.is_listed:
        return
    this, other = block.sides[side], block.sides[1 - side]
    same = block.features[0].hashes == block.features[1].hashes
    languages = this.features.languages
    for index in np.flatnonzero((languages != OTHER) & (languages != THIRD) & ~same).tolist():
        line, words = this.lines[index], this.words[index]
        if not may_have_other_stretch(words, this.other_language):
            continue
        if len(text := _ASIDE.sub(" ", line)) < len(line):  # titles may be in the other language
            words = LineBlock([text], 0, this.language, this.other_language).words[0]
        if has_other_stretch(line, words, other.words[index], this.language, this.other_language):
            yield index


def swapped_languages(block: PairBlock) -> Iterable[int]:
    """Finds pairs with each side in the other's language."""
    source, target = block.features
    return _indices((source.languages == OTHER) & (target.languages == OTHER))


def wrong_language(block: PairBlock, side: int) -> Iterator[int]:
    """Finds lines of one side in a wrong language, unless another fault of the pair explains them."""
    source, target = block.features
    wrong = np.isin(block.features[side].languages, (OTHER, THIRD))
    swapped = (source.languages == OTHER) & (target.languages == OTHER)
    copied = (source.hashes == target.hashes) & (source.num_words >= _MIN_COPY_WORDS)
    lines, indices = block.sides[side].lines, _indices(wrong & ~swapped & ~copied)
    explained = set(near_copies(block)) if indices else ()
    for index in indices:
        if index not in explained and 2 * len(_ASIDE.sub("", lines[index])) > len(
            lines[index]
        ):  # else most of the line is a title
            yield index


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
