"""Detects lines in a wrong language: by function words, and by a classifier for lines that these do not decide.

A classifier is unreliable on short sentences, and every language has loan words. A line therefore counts as wrong only
if it has no function word of its own language and either several of the other language or a confident classification.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

# Unknown, the language of the side, the language of its translations, any other language.
UNKNOWN, OWN, OTHER, THIRD = range(4)

# Lower-case and without accents, as in `LineBlock.words`. No word is in both lists.
_FUNCTION_WORDS = {
    "fr": frozenset(
        b"""le la les des du un une et est sont etait ete etre avec dans pour qui que quoi dont ce cette ces ne pas il
        elle ils elles nous vous je lui leur leurs mais aux au sa ses mes notre votre qu l ai ont avait sous chez entre
        tres tout tous comme aussi deux trois""".split()
    ),
    "en": frozenset(
        b"""the of and is are was were be been with for that this these those his her he she it they them their we you
        your my in to from by at have has had not which who what when there so no do does did will would can could
        should into than then its two three""".split()
    ),
}
# Without the words that German, Spanish, Italian, Dutch or Portuguese also have: one such word decides for a language.
_UNIQUE_WORDS = {
    "fr": _FUNCTION_WORDS["fr"] - frozenset(b"le la les des du un et que il ne je sa ses au l ai entre".split()),
    "en": _FUNCTION_WORDS["en"]
    - frozenset(b"is was were be for her we my in to at had who so no do will can then".split()),
}
_MIN_OTHER_WORDS = 2  # different function words of the other language
_MIN_WORDS, _MIN_LETTERS = 5, 25  # length from which the classifier is reliable
_MIN_CONFIDENCE = 0.9
# Languages that occur next to French and English in web crawls; "zxx" is no language.
_LANGUAGES = "ar ca cs da de el en es fi fr hu it ja la nl no pl pt ro ru sv tr uk zh zxx".split()


def by_function_words(lines: Sequence[Sequence[bytes]], language: str, other_language: str) -> np.ndarray:
    """Returns the language of each line by its function words: OWN, OTHER or UNKNOWN."""
    unique, own, other = _UNIQUE_WORDS[language], _FUNCTION_WORDS[language], _FUNCTION_WORDS[other_language]
    languages = np.full(len(lines), OWN, np.uint8)
    for index, words in enumerate(lines):
        if unique.isdisjoint(words):
            is_other = own.isdisjoint(words) and len(other.intersection(words)) >= _MIN_OTHER_WORDS
            languages[index] = OTHER if is_other else UNKNOWN
    return languages


def classify_unknown(lines: Sequence[str], languages: np.ndarray, language: str, other_language: str) -> None:
    """Sets UNKNOWN elements of `languages` to OTHER or THIRD where the classifier is confident."""
    for index in np.flatnonzero(languages == UNKNOWN).tolist():
        line = lines[index]
        if len(line.split()) >= _MIN_WORDS and sum(map(str.isalpha, line)) >= _MIN_LETTERS:
            code, confidence = _classifier().classify(line)
            if code not in (language, "zxx") and confidence >= _MIN_CONFIDENCE:
                languages[index] = OTHER if code == other_language else THIRD


@functools.cache
def _classifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # lazily: its model takes a second to load

    classifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    classifier.set_languages(_LANGUAGES)
    return classifier
