"""Whether a line is in the language it should be in: function words decide at once, a classifier where they do not.

Short sentences mislead a classifier, and every language lends words to the others. Hence a line is in a wrong language
only where two things agree: it has none of its own language's function words, and either several of the other's or
a classifier's firm word.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

UNKNOWN, OWN, OTHER, THIRD = range(4)

# In lower case and without accents, as `Lines.words` are. No word is in both lists.
_WORDS = {
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
# Of these, what German, Spanish, Italian, Dutch and Portuguese do not have: one such word, and a line passes.
_OWN = {
    "fr": _WORDS["fr"] - frozenset(b"le la les des du un et que il ne je sa ses au l ai entre".split()),
    "en": _WORDS["en"] - frozenset(b"is was were be for her we my in to at had who so no do will can then".split()),
}
_FEWEST_OTHER = 2  # unlike function words of the other language
_FEWEST_WORDS, _FEWEST_LETTERS = 5, 25  # below, a classifier guesses
_FIRM = 0.9  # its confidence
# Those that web crawls mix up with French and English; "zxx" is what is no language.
_LANGUAGES = "ar ca cs da de el en es fi fr hu it ja la nl no pl pt ro ru sv tr uk zh zxx".split()


def of_words(lines: Sequence[Sequence[bytes]], code: str, other: str) -> np.ndarray:
    """Each line's language by its function words: OWN, which is `code`, OTHER or UNKNOWN."""
    own, any_own, others = _OWN[code], _WORDS[code], _WORDS[other]
    found = np.full(len(lines), OWN, np.uint8)
    for index, words in enumerate(lines):
        if own.isdisjoint(words):
            foreign = any_own.isdisjoint(words) and len(others.intersection(words)) >= _FEWEST_OTHER
            found[index] = OTHER if foreign else UNKNOWN
    return found


def classified(lines: Sequence[str], found: np.ndarray, code: str, other: str) -> Iterator[tuple[int, int]]:
    """(line, language) of the UNKNOWN lines that the classifier firmly finds to be OTHER or THIRD."""
    for index in np.flatnonzero(found == UNKNOWN).tolist():
        line = lines[index]
        if len(line.split()) >= _FEWEST_WORDS and sum(map(str.isalpha, line)) >= _FEWEST_LETTERS:
            guess, confidence = _classifier().classify(line)
            if guess not in (code, "zxx") and confidence >= _FIRM:
                yield index, OTHER if guess == other else THIRD


@functools.cache
def _classifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # lazily: its model takes a second to load

    classifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    classifier.set_languages(_LANGUAGES)
    return classifier
