"""Detects lines in a wrong language: by function words, and by a classifier for lines that these do not decide.

A classifier is unreliable on short sentences, and every language has loan words. A line in French or English therefore
counts as wrong only if it has no function word of its own language and either several of the other language or a
confident classification. In other languages, the classifier alone decides, if it knows the language.
"""

import copy
import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from transformer.data.doctor.words import words_of

_WORD = re.compile(r"\w+")
_FOREIGN = re.compile("[\u0370-\u1dff\u3040-\ud7ff]")  # letters of other scripts than Latin

# Unknown, the language of the side, the language of its translations, any other language.
UNKNOWN, OWN, OTHER, THIRD = range(4)

# Lower-case and without accents, as in `LineBlock.words`. No word is in both lists.
_FUNCTION_WORDS = {
    "fr": frozenset(
        b"""le la les des du un une et est sont etait ete etre avec dans pour qui que quoi dont ce cette ces ne pas il
        elle ils elles nous vous je lui leur leurs mais aux au sa ses mes notre votre qu l ai ont avait sous chez entre
        tres tout tous comme aussi deux trois afin ainsi apres avant celle celui ceux chaque depuis donc faire jamais
        jusqu lors meme moins parce pendant peut peuvent plusieurs puis quand quelques selon seulement toujours toute
        toutes quel quelle cela cet aucun""".split()
    ),
    "en": frozenset(
        b"""the of and is are was were be been with for that this these those his her he she it they them their we you
        your my in to from by at have has had not which who what when there so no do does did will would can could
        should into than then its two three about after any because before between both each every how more most must
        only other some such through until very where while why""".split()
    ),
}
LISTED = frozenset(_FUNCTION_WORDS)  # languages with lists of words, and so with the finer rules
# Without the words that German, Spanish, Italian, Dutch or Portuguese also have: one such word decides for a language.
_UNIQUE_WORDS = {
    "fr": _FUNCTION_WORDS["fr"] - frozenset(b"le la les des du un et que il ne je sa ses au l ai entre".split()),
    "en": _FUNCTION_WORDS["en"]
    - frozenset(b"is was were be for her we my in to at had who so no do will can then".split()),
}
# More words that are none of the other language: signs that a line is not in the other one.
_WEAK_WORDS = {
    "fr": _FUNCTION_WORDS["fr"] | frozenset(b"de d en par ou ces se cet cela aucun fait peut sans selon jeu".split()),
    "en": _FUNCTION_WORDS["en"] | frozenset(b"an as or by out but up if".split()),
}
_MIN_OTHER_WORDS = 2  # different function words of the other language
_FREQUENT_WORDS = {
    "fr": frozenset(b"le la les des un une dans avec du et qui".split()),
    "en": frozenset(b"the of and with to that this his her their its".split()),
}
_MIN_STRETCH_WORDS, _COPIED = (
    3,
    4,
)  # function words of a stretch in the other language; words copied from the other side
_MAX_WORDS_EACH = 8  # words for each function word; lists of names have fewer of these
_MIN_MEAN_LENGTH = 3  # letters
_MIN_STRETCH_SHARE = 0.25  # of the words of the line
_MIN_LOWER = 0.6  # share of words in lower case, from which a stretch is no title
_MIN_WORDS, _MIN_LETTERS = 5, 25  # length from which the classifier is reliable
_MIN_CONFIDENCE = 0.9
_MIN_FOREIGN = 4  # letters of another script that decide for another language
# Languages that occur next to others in web crawls, besides those of the corpus; "zxx" is no language.
_LANGUAGES = "ar ca cs da de el en es fi fr hu it ja la nl no pl pt ro ru sv tr uk zh zxx".split()
# The classifier does not tell languages of a group from each other: of a group, it only knows those of the corpus.
_RELATED = tuple(
    frozenset(group.split())
    for group in (
        "no nn da", "hr bs sr sh", "cs sk", "id ms jv", "pt gl", "es gl an", "zh yue wuu", "ar ary arz", "hi mr ne sa",
        "ru be", "bg mk", "uz uzs", "ku sdh", "tr az", "fa ps", "oc ca", "nl af", "fr wa", "de lb", "it vec lij",
    )
)  # fmt: skip
_CLASSIFIED_AS = {"nb": "no", "cmn": "zh", "ckb": "sdh"}
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")  # letters that say as much as several others
_WIDTH = 3  # that many


def by_function_words(lines: Sequence[Sequence[bytes]], language: str, other_language: str) -> np.ndarray:
    """Returns the language of each line by its function words: OWN, OTHER or UNKNOWN; UNKNOWN if there is no list."""
    if language not in LISTED:
        return np.full(len(lines), UNKNOWN, np.uint8)
    unique, own = _UNIQUE_WORDS[language], _WEAK_WORDS[language]
    other = _FUNCTION_WORDS.get(other_language, frozenset())
    languages = np.full(len(lines), OWN, np.uint8)
    for index, words in enumerate(lines):
        if unique.isdisjoint(words):
            is_other = own.isdisjoint(words) and len(other.intersection(words)) >= _MIN_OTHER_WORDS
            languages[index] = OTHER if is_other else UNKNOWN
    return languages


def classify_unknown(lines: Sequence[str], languages: np.ndarray, language: str, other_language: str) -> None:
    """Sets UNKNOWN elements of `languages` to OTHER or THIRD, or to OWN without lists, where the classifier is sure."""
    if {language, other_language} - LISTED:
        _classify_unlisted(lines, languages, language, other_language)
        return
    own = _WEAK_WORDS[language]
    for index in np.flatnonzero(languages == UNKNOWN).tolist():
        line = lines[index]
        num_letters = sum(map(str.isalpha, line))
        if num_letters >= _MIN_FOREIGN and _FOREIGN.search(line) and _is_foreign(line):
            languages[index] = THIRD
        elif len(line.split()) >= _MIN_WORDS and num_letters >= _MIN_LETTERS:
            code, confidence = _classifier(frozenset((language, other_language))).classify(line)
            if code not in (language, "zxx") and confidence >= _MIN_CONFIDENCE:
                if code != other_language:
                    languages[index] = THIRD
                elif own.isdisjoint(word.encode("ascii", "replace") for word in _WORD.findall(line.lower())):
                    languages[index] = OTHER


def _classify_unlisted(lines: Sequence[str], languages: np.ndarray, language: str, other_language: str) -> None:
    """Does `classify_unknown` for a pair of which a language has no lists."""
    codes = {OWN: _CLASSIFIED_AS.get(language, language), OTHER: _CLASSIFIED_AS.get(other_language, other_language)}
    classifier = _classifier(frozenset(codes.values()))
    found = {code: number for number, code in codes.items()}
    if codes[OWN] in classifier.nb_classes:
        found = dict.fromkeys(classifier.nb_classes, THIRD) | found | {"zxx": UNKNOWN}
    for index in np.flatnonzero(languages == UNKNOWN).tolist():
        line = lines[index]
        num_letters = sum(map(str.isalpha, line)) + (_WIDTH - 1) * len(_WIDE.findall(line))
        if num_letters >= _MIN_LETTERS and len(words_of(line)) >= _MIN_WORDS:
            code, confidence = classifier.classify(line)
            if confidence >= _MIN_CONFIDENCE:
                languages[index] = found.get(code, UNKNOWN)


def num_function_words(words: Iterable[bytes], line: str) -> int:
    """Returns how many of the words of a line are function words, which are in lower case except for the first one."""
    text = f" {line[:1].lower()}{line[1:]}"
    function_words = frozenset.union(*_FUNCTION_WORDS.values()).intersection(words)
    return sum(f" {word.decode()}" in text for word in function_words)


def may_have_other_stretch(words: Sequence[bytes], other: str) -> bool:
    """Returns whether a line has function words of the other language."""
    return not _FUNCTION_WORDS[other].isdisjoint(words)


def has_other_stretch(
    line: str, words: Sequence[bytes], translation: Sequence[bytes], language: str, other: str
) -> bool:
    """Returns whether a part of a line, but not all of it, is in the language of its translation.

    Args:
      line: the line.
      words: its words, in lower case and without accents.
      translation: the words of its translation.
      language: language code of the line.
      other: language code of the translation.
    """
    own_words, other_words = _WEAK_WORDS[language], _FUNCTION_WORDS[other]
    min_size = max(_COPIED, _MIN_STRETCH_SHARE * len(words))
    translated = b" %b " % b" ".join(translation)
    ends = [index for index, word in enumerate(words) if word in own_words]
    for before, after in itertools.pairwise([-1, *ends, len(words)]):
        stretch = words[before + 1 : after]
        if not min_size <= len(stretch) < len(words):
            continue
        num_other = sum(word in other_words for word in stretch)
        if not num_other or num_other * _MAX_WORDS_EACH < len(stretch):
            continue
        windows = (stretch[first : first + _COPIED] for first in range(len(stretch) - _COPIED + 1))
        copied = any(
            not other_words.isdisjoint(window) and b" %b " % b" ".join(window) in translated for window in windows
        )
        # Titles have capitals, and lists have short words.
        in_lower_case = sum(f" {word.decode()}" in line for word in stretch) >= _MIN_LOWER * len(stretch)
        is_text = in_lower_case and len(b"".join(stretch)) >= _MIN_MEAN_LENGTH * len(stretch)
        has_frequent = num_other >= _MIN_STRETCH_WORDS and not _FREQUENT_WORDS[other].isdisjoint(stretch)
        if is_text and (copied or has_frequent) and line.count(",") * 3 < len(words):
            return True
    return False


def _is_foreign(line: str) -> bool:
    """Returns whether most letters of a line are not Latin."""
    latin = [ord(letter) < 0x370 or 0x1E00 <= ord(letter) < 0x1F00 for letter in line if letter.isalpha()]
    return 2 * sum(latin) < len(latin)


@functools.cache
def _model() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # lazily: its model takes a second to load

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@functools.cache
def _classifier(pair: frozenset[str]) -> Any:
    """Returns a classifier of the usual languages and those of the corpus, without relatives of the latter."""
    classifier = copy.copy(_model())
    related = frozenset[str]().union(*(group for group in _RELATED if group & pair)) - pair
    known = {*classifier.labels}
    classifier.set_languages(
        [code for code in dict.fromkeys((*_LANGUAGES, *sorted(pair & known))) if code not in related]
    )
    return classifier
