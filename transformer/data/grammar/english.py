"""English inflection: plurals, verb forms and the indefinite article.

Regular forms follow the spelling rules below. Every irregular word of the lexicon is in a table of lexicon/ or in a
set of this file.
"""

from __future__ import annotations

from transformer.data.grammar.tables import read_mapping

IRREGULAR_PAST = read_mapping("irregular_past.tsv", "base past", lambda row: row["past"])

# Adjectives with a comparative in -er; the others take "more".
COMPARATIVES = read_mapping("comparatives.tsv", "adjective comparative", lambda row: row["comparative"])

# Verbs whose last consonant is doubled before -ing and -ed.
DOUBLED = frozenset({"cut", "forget", "get", "prefer", "put", "run", "stop", "swim", "win"})

# Words whose first letter would give the wrong choice of "a" or "an".
CONSONANT_SOUND = ("uni", "use", "eu", "one")
SILENT_H = ("hon", "hour", "heir")

VOWELS = frozenset("aeiou")


def add_s(word: str) -> str:
    """Returns the regular plural of a noun, or the third person of a verb."""
    if word.endswith(("s", "x", "z", "ch", "sh")) or word in ("go", "do", "hero", "potato", "tomato"):
        return word + "es"
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def third_person(base: str) -> str:
    """Returns the third person singular of the simple present."""
    return {"have": "has", "be": "is"}.get(base) or add_s(base)


def past(base: str) -> str:
    """Returns the simple past."""
    if base in IRREGULAR_PAST:
        return IRREGULAR_PAST[base]
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2] not in VOWELS:
        return base[:-1] + "ied"
    return base + (base[-1] if base in DOUBLED else "") + "ed"


def present_participle(base: str) -> str:
    """Returns the form in -ing."""
    if base in DOUBLED:
        return base + base[-1] + "ing"
    if base == "be":
        return "being"
    if base.endswith("e") and not base.endswith("ee"):
        return base[:-1] + "ing"
    return base + "ing"


def indefinite_article(next_word: str) -> str:
    """Returns "a" or "an" for the next word."""
    word = next_word.lower()
    if word.startswith(CONSONANT_SOUND):
        return "a"
    return "an" if word[0] in VOWELS or word.startswith(SILENT_H) else "a"
