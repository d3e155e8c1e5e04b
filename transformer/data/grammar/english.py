"""English inflection: plurals, verb forms and the indefinite article.

Regular forms follow the spelling rules below. Every irregular word of the lexicon has a row in a table of this file.
"""

from __future__ import annotations

IRREGULAR_PAST = {
    "be": "was",
    "become": "became",
    "bite": "bit",
    "break": "broke",
    "bring": "brought",
    "build": "built",
    "buy": "bought",
    "catch": "caught",
    "choose": "chose",
    "come": "came",
    "cut": "cut",
    "draw": "drew",
    "drink": "drank",
    "drive": "drove",
    "eat": "ate",
    "fall": "fell",
    "feed": "fed",
    "find": "found",
    "forget": "forgot",
    "get": "got",
    "give": "gave",
    "go": "went",
    "have": "had",
    "hear": "heard",
    "hide": "hid",
    "keep": "kept",
    "know": "knew",
    "leave": "left",
    "lend": "lent",
    "lose": "lost",
    "make": "made",
    "meet": "met",
    "put": "put",
    "read": "read",
    "ride": "rode",
    "run": "ran",
    "say": "said",
    "see": "saw",
    "sell": "sold",
    "send": "sent",
    "sing": "sang",
    "sleep": "slept",
    "steal": "stole",
    "swim": "swam",
    "take": "took",
    "tear": "tore",
    "teach": "taught",
    "tell": "told",
    "think": "thought",
    "throw": "threw",
    "understand": "understood",
    "wake": "woke",
    "wear": "wore",
    "win": "won",
    "write": "wrote",
}

# Adjectives with a comparative in -er; the others take "more".
COMPARATIVES = {
    "big": "bigger",
    "brave": "braver",
    "clean": "cleaner",
    "deep": "deeper",
    "dirty": "dirtier",
    "easy": "easier",
    "fast": "faster",
    "fresh": "fresher",
    "funny": "funnier",
    "gentle": "gentler",
    "happy": "happier",
    "heavy": "heavier",
    "high": "higher",
    "kind": "kinder",
    "lazy": "lazier",
    "long": "longer",
    "narrow": "narrower",
    "noisy": "noisier",
    "old": "older",
    "poor": "poorer",
    "pretty": "prettier",
    "proud": "prouder",
    "quiet": "quieter",
    "rich": "richer",
    "sad": "sadder",
    "shy": "shyer",
    "slow": "slower",
    "small": "smaller",
    "strange": "stranger",
    "tall": "taller",
    "ugly": "uglier",
    "wide": "wider",
    "young": "younger",
}

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
