"""Checks for damaged words: glued or spaced-out letters, lost accents, two scripts in a word, tokens instead of words.

Each finder takes a `LineBlock` and yields (line, column) of the first fault in each faulty line. A damaged word is
recognised by the other lines of its block, in which the undamaged words are frequent. `glued` and `lost_accents` take a
`PairBlock` and a side, and yield lines: what is also in the translation is no fault.
"""

import collections
import functools
import itertools
import operator
import re
import unicodedata
from collections.abc import Iterator

import numpy as np

from transformer.data.doctor import language
from transformer.data.doctor.line_features import LineBlock, PairBlock

_MIN_GLUED = 4  # letters
# Mean length of words, compared with a translation of so many words; letters of the longest word.
_MAX_LENGTHENING, _MIN_TRANSLATION, _MIN_LONGEST = 1.75, 5, 14
# Words that seldom start, or end, a word of French or English, and words that do so seldom where they are frequent.
_FIRST = frozenset(
    b"the of and is was are this that with its his la le les un une et est dans avec ce cette du".split()
)
_SECOND = frozenset(b"the of and with this that from dans avec cette".split())
_SHORT = {
    "fr": frozenset(b"au aux que qui ne se nous vous il elle ils elles".split()),
    "en": frozenset(b"a an in on to for at my we you he she it are was be as by from but or".split()),
}
_WHOLE = frozenset(
    b"""area areas ahead alight alike alive alone along anew another apart around ashore aside asleep atop away beware
    formal format forward howto input inland inside into itself maybe nevertheless online onto soon today
    together tome tonight weary builtin addon addons bypass inner order former ally adverb average award anode
    surtout partout parfois pourtant pourquoi nouveau surface quelque illusion lesquels lesquelles auxquels
    auxquelles desquels desquelles quel quelle auquel duquel lequel laquelle upon pasta aboard apiece""".split()
)  # words that consist of two frequent ones
_CENTRE = re.compile(b"|".join(sorted(word for word in _FIRST if len(word) > 2)))
_SEARCHED_BYTES = 1 << 18  # of a block, which bounds the time
_MIN_FREQUENT_PAIR = 8  # occurrences of two words, one of which is short
_MAX_RARE, _MIN_SEGMENTED, _MIN_PART = 4, 10, 3  # occurrences of a glued word; letters of a phrase, its words
_SPACED_OUT = re.compile(r"(?<!\S)(?:[^\W\d_] ){4,}[^\W\d_](?!\w)")
_MIN_DISTINCT = 3  # letters of a spaced-out word, unlike those of "N x N x N"
_LOST = re.compile(r"(?<![\w?/=&.])[\w?]*(?:\w\?|\?\w)[\w?]*(?![\w?/=&*:])")
_LOST_INSIDE = re.compile(r"[^\W\d_A-Z]\?+[^\W\d_A-Z]")
_MIN_FREQUENT, _MIN_RATIO = 3, 10  # occurrences of a word with accents; its occurrences for each one without
# French words that are frequent in every text and have no meaning without their accents.
_ACCENTED = """année août après arrière bébé café créé dernière derrière différent début déjeuner déjà espèce fenêtre
    frère fête général hôtel lumière légère manière matériel modèle musée mère mémoire méthode même numéro opéra
    pièce première problème propriété près père période qualité rivière réponse réseau résultat société système
    sécurité théâtre très télé téléphone tête utilisé vélo vérité zéro école également église élève élément équipe
    étage étaient était étoile étrange étude été être île""".split()
_PLAIN = frozenset("gant mari part pass pris sent tant vent".split())  # are words, too
_PARTICIPLE = re.compile("^[^à-ÿ]*ée?s?$")
_MIXED = re.compile(
    "[A-Za-zÀ-ɏ]+[\u0400-\u04ff]|[\u0400-\u04ff]+[A-Za-zÀ-ɏ]|[A-Za-z]{2,}[ΑΒΕΗΙΚΜΝΟΡΤΥΧΖο]|[ΑΒΕΗΙΚΜΝΟΡΤΥΧΖο][a-zà-ɏ]{2,}"
)
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = str.maketrans(
    "асеіјорѕхуһёїАВСЕНІЈКМОРЅТХУΑΒΕΗΙΚΜΝΟΡΤΥΧΖο", "aceijopsxyhëïABCEHIJKMOPSTXYABEHIKMNOPTYXZo"
)  # letters of other alphabets that look like Latin ones
_SEGMENTED = re.compile(r"\w@@ \w|(?<!\S)▁\w")
_DETACHED = re.compile(r" (?:[.,](?=\s)|[.,]$|['’](?:s|t|re|ve|ll|m|d)\b|@-@ )|\b(?:[ldnsjmtc]|qu)['’] ", re.MULTILINE)
_ATTACHED = re.compile(r"[^\W\d_][.,](?=\s|$)", re.MULTILINE)
_MIN_TOKENISED = 5  # lines of a block


def glued(pairs: PairBlock, side: int) -> Iterator[int]:
    """Finds words without the space between them: other lines have the two words one after the other."""
    if not pairs.is_listed:
        return
    block, other = pairs.sides[side], pairs.sides[1 - side]
    vocabulary = _Vocabulary(block)
    faulty = vocabulary.glued()
    for index in vocabulary.lines_with(faulty):
        line = f" {_without_accents(block.lines[index].lower())} "
        found = faulty.intersection(block.words[index]) - {*other.words[index]}
        if any(re.search(rf"[\s'’(]{word.decode()}[\s,.;:!?)]", line) for word in found):
            yield index
    for index in _with_longer_words(pairs, side).tolist():
        longest = max(block.words[index], key=len)
        if faulty.isdisjoint(block.words[index]) and len(longest) >= _MIN_LONGEST and vocabulary.is_rare(longest):
            yield index


def _with_longer_words(pairs: PairBlock, side: int) -> np.ndarray:
    """Returns the indices of lines whose words are much longer than those of their translation."""
    this, other = (pairs.features[number] for number in (side, 1 - side))
    lengths = [features.num_characters / np.maximum(features.num_words, 1) for features in (this, other)]
    longer = (lengths[0] > _MAX_LENGTHENING * lengths[1]) & (this.num_words > 0) & (other.num_words >= _MIN_TRANSLATION)
    return np.flatnonzero(longer & (this.num_characters < 2 * other.num_characters))


class _Vocabulary:
    """The words of a block, and how often they occur, alone and one after the other."""

    def __init__(self, block: LineBlock) -> None:
        self._words = block.words
        self._counts = block.word_counts
        self._frequent = {word for word, count in self._counts.items() if count > 2}
        self._text = b" ".join(map(b" ".join, block.words))
        self._text = self._text[:_SEARCHED_BYTES]
        self._short = _SHORT[block.language]

    def glued(self) -> set[bytes]:
        """Returns the rare words that consist of frequent ones."""
        rare = {word for word, count in self._counts.items() if count <= _MAX_RARE and len(word) >= _MIN_GLUED}
        words = list(itertools.chain.from_iterable(self._words))
        pairs = rare.intersection(map(operator.add, words, itertools.islice(words, 1, None)))
        glued = {word for word in pairs if self._is_pair(word)}
        phrases = {
            word for word in rare if len(word) >= _MIN_SEGMENTED and _CENTRE.search(word) and self._is_phrase(word)
        }
        return {word for word in glued | phrases if word.isalpha()} - _WHOLE

    def is_rare(self, word: bytes) -> bool:
        """Returns whether a word occurs only once or a few times."""
        return self._counts[word] <= _MAX_RARE

    def lines_with(self, words: set[bytes]) -> list[int]:
        """Returns the indices of the lines with some of these words."""
        return [index for index, line in enumerate(self._words) if not words.isdisjoint(line)] if words else []

    def _is_pair(self, word: bytes) -> bool:
        """Returns whether a word consists of two words that follow each other in the text, and is no usual compound."""
        for middle in range(1, len(word)):
            first, second = word[:middle], word[middle:]
            if first in self._frequent and second in self._frequent:
                seldom = first in _FIRST or second in _SECOND
                min_together = (2 if seldom else _MIN_FREQUENT_PAIR) * self._counts[word]
                is_usual = seldom or first in self._short or second in self._short
                if is_usual and self._text.count(b" %b %b " % (first, second)) >= min_together:
                    return True
        return False

    def _is_phrase(self, word: bytes) -> bool:
        """Returns whether a word consists of frequent words, one of which seldom is a part of a word."""
        reached = {0: False}  # end of a prefix that consists of words → whether it has such a word before the last one
        for stop in range(_MIN_PART, len(word) + 1):
            for start, found in list(reached.items()):
                part = word[start:stop]
                if part in self._frequent and stop - start >= _MIN_PART and self._counts[part] > 2 * self._counts[word]:
                    reached[stop] = reached.get(stop, False) or found or (part in _FIRST and stop < len(word))
        return reached.get(len(word), False)


def spaced_out(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds words with spaces between their letters."""
    for index in np.flatnonzero(block.counts("single") >= 5).tolist():
        match = _SPACED_OUT.search(block.lines[index])
        if match and len({*match[0]}) > _MIN_DISTINCT:
            yield index, match.start()


def lost_accents(pairs: PairBlock, side: int) -> Iterator[int]:
    """Finds lines whose accented letters were replaced by question marks, or are missing, or lost their accents."""
    block, other = pairs.sides[side], pairs.sides[1 - side]
    damaged = _damaged_words(block) if block.language == "fr" else frozenset()
    plain = block.counts("accented") == 0
    plain &= (block.features.languages == language.OWN) & (block.counts("lower") > block.counts("upper"))
    plain &= (block.features.num_words > 2) & bool(damaged)
    questions = block.counts("?") > 0
    for index in np.flatnonzero(plain | questions).tolist():
        line = block.lines[index]
        marked = _LOST.findall(line) if questions[index] else []
        if any(_LOST_INSIDE.search(word) or not damaged.isdisjoint(_marked_forms(word)) for word in marked):
            yield index
        elif plain[index]:
            found = damaged.intersection(_WORD.findall(line))
            if found and not found <= {*_WORD.findall(other.lines[index].lower())}:
                yield index


def _marked_forms(word: str) -> tuple[str, str]:
    """Returns a word with question marks, without and with one for the end of a question."""
    word = re.sub(r"\?+", "?", word.lower())
    return word, word.removesuffix("?")


def _damaged_words(block: LineBlock) -> frozenset[str]:
    """Returns the forms that frequent words of the block take if they lose their accents, unless they are words."""
    counts = collections.Counter(block.accented_words)
    frequent = {
        word for word, count in counts.items() if count >= _MIN_FREQUENT and len(word) > 2 and not word.isascii()
    }
    damaged: set[str] = set()
    for word in frequent.union(_ACCENTED):
        forms, marked = _damaged_forms(word)
        max_count = max(counts[word], _MIN_FREQUENT) // _MIN_RATIO
        damaged.update(form for form in forms if counts[form] <= max_count)
        damaged.add(marked)
    return frozenset(damaged)


def _without_accents(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))


@functools.lru_cache(maxsize=1 << 14)
def _damaged_forms(word: str) -> tuple[frozenset[str], str]:
    """Returns a word without its accents and without its accented letters, and with question marks instead of them."""
    folded = _without_accents(word)
    removed = "".join(letter for letter in word if letter.isascii())
    # Forms of verbs end in é, ée and e.
    forms = () if word.endswith(("ée", "ées")) else (removed,) if _PARTICIPLE.search(word) else (folded, removed)
    return frozenset(form for form in forms if len(form) > 2 and form not in _PLAIN), re.sub("[^\0-\x7f]", "?", word)


def mixed_scripts(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds words with letters of two alphabets, such as a Cyrillic letter that looks like a Latin one."""
    for index in block.lines_with("foreign"):
        if match := _MIXED.search(block.lines[index]):
            yield index, match.start()


def with_latin_letters(line: str) -> str:
    """Returns the line with Latin letters instead of those that look like them, in words that are Latin otherwise."""
    return _WORD.sub(_latin_word, line) if _MIXED.search(line) else line


def _latin_word(match: re.Match[str]) -> str:
    word = match[0].translate(_LATIN)
    return word if _MIXED.search(match[0]) and all(ord(letter) < 0x250 for letter in word) else match[0]


def segmented(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds lines of subwords, marked by @@ or ▁."""
    return block.first_matches(_SEGMENTED) if "@@ " in block.text or "▁" in block.text else iter(())


def tokenised(block: LineBlock) -> Iterator[tuple[int, int]]:
    """Finds lines with spaces before full stops and commas, if most lines of the block are such lines."""
    text = f"{block.text}\n"
    num_detached = sum(map(text.count, (" , ", " . ", " .\n")))
    if num_detached < max(_MIN_TOKENISED, sum(map(text.count, (", ", ". ", ".\n"))) / 2):
        return
    detached = list(block.first_matches(_DETACHED))
    if len(detached) > 2 * sum(1 for _ in block.first_matches(_ATTACHED)):
        yield from detached
