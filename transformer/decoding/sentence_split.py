"""Text that is too long for a model, in parts that are not; between the parts it says what it said.

A part ends where a sentence does. Only a sentence that is too long by itself is divided further: after punctuation
within it, else between words, else, where a script has no spaces, between characters.
"""

import re
from collections.abc import Callable, Sequence

from transformer.decoding.translate import Translation

# A stop, whatever closes after it, and space, before what can begin a sentence: nothing in lower case.
_SENTENCE = re.compile(r"""(?<=[.!?…])([»”"'’)\]]*)(\s*[»”])?\s+(?=[«“"'‘(\[¿¡\-–—]*\s*[^\W_a-zà-öø-ÿœ])""")
# What a stop follows within a sentence: titles and the like in French and English, and initials.
_SHORT = re.compile(
    r"(?i)(?:^|[\s(«“\"'’-])(?:[a-zà-ÿ]|mm|mme|mlle|dr|pr|prof|st|ste|mr|mrs|ms|jr|sr|no|vs|cf|ex|env|art|fig|vol|chap|"
    r"p\.\s?ex|e\.g|i\.e|av|janv|févr|avr|juil|sept|oct|nov|déc|jan|feb|aug|dec)\.$"
)
_CLAUSE = re.compile(r"(?<=[;:,—–])\s+")
_WORD = re.compile(r"\s+")

Length = Callable[[str], int]  # tokens of a text


def sentences(text: str) -> list[str]:
    """The sentences of a text, by a small rule for French and English; what is between them, spaces, is left out."""
    found, begin = [], 0
    for match in _SENTENCE.finditer(text):
        end = match.end(2) if match.group(2) else match.end(1)
        if not _SHORT.search(text[begin : match.start()]):
            found.append(text[begin:end])
            begin = match.end()
    return [each for each in (*found, text[begin:]) if each.strip()]


def parts(text: str, limit: int, length: Length) -> list[str]:
    """The text, or where it has more than `limit` tokens, its parts of at most so many, each as long as can be.

    Raises:
      ValueError: a single character has more tokens than that.
    """
    if length(text) <= limit:
        return [text]
    return _packed(sentences(text), limit, length, [_CLAUSE, _WORD])


def _packed(units: Sequence[str], limit: int, length: Length, finer: list[re.Pattern[str]]) -> list[str]:
    """Units joined by spaces as long as they are short enough together; one that is too long itself is divided."""
    found: list[str] = []
    for unit in units:
        if length(unit) > limit:
            found += _divided(unit, limit, length, finer)
        elif found and length(f"{found[-1]} {unit}") <= limit:
            found[-1] = f"{found[-1]} {unit}"
        else:
            found.append(unit)
    return found


def _divided(text: str, limit: int, length: Length, finer: list[re.Pattern[str]]) -> list[str]:
    if finer:
        units = [unit for unit in finer[0].split(text) if unit]
        return _packed(units, limit, length, finer[1:])
    if len(text) == 1:
        raise ValueError(f"{text!r} alone has {length(text)} tokens, more than {limit}")
    half = len(text) // 2
    found = []
    for each in (text[:half], text[half:]):
        found += [each] if length(each) <= limit else _divided(each, limit, length, [])
    return found


def joined(found: Sequence[Sequence[Translation]]) -> list[Translation]:
    """Translations of a text from those of its parts: the best of all, the second best of all, and so on.

    Of a part with fewer than others the last one stands in. Scores add up; a text of one part has its translations.
    """
    if len(found) == 1:
        return list(found[0])
    best = []
    for rank in range(max(map(len, found), default=0)):
        chosen = [each[min(rank, len(each) - 1)] for each in found]
        tokens = tuple(token for each in chosen for token in each.tokens)
        best.append(Translation(" ".join(each.text for each in chosen), sum(each.score for each in chosen), tokens))
    return best
