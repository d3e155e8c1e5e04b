"""French inflection and sandhi: agreement of nouns and adjectives, elision, contraction.

The four forms of a word that agrees always have the order masculine singular, feminine singular, masculine plural,
feminine plural, so that the index of a form is ``feminine + 2 * plural``.
"""

from __future__ import annotations

from transformer.data.grammar.tables import read_mapping

FourForms = tuple[str, str, str, str]

VOWELS = frozenset("aeiouyàâéèêëîïôùûœæ")

# Words with an h aspiré, before which nothing elides.
ASPIRATED = frozenset(
    "hache haches hamster hamsters haricot haricots harpe harpes haut haute hautes hauts hérisson hérissons héros "
    "hibou hiboux homard homards hollande hurle hurlent hurlait hurlaient hurlé hurler hurlera hurleront".split()
)

# Words that lose their last vowel before a vowel.
ELIDING = frozenset("le la je me se ne de que lorsque puisque".split())

# Contraction of a preposition with the definite article; "l'" is never contracted.
CONTRACTIONS = {("de", "le"): "du", ("de", "les"): "des", ("à", "le"): "au", ("à", "les"): "aux"}

IRREGULAR_FEMININE = read_mapping("irregular_feminine.tsv", "masculine feminine", lambda row: row["feminine"])

# The masculine singular before a vowel: "un bel arbre".
BEFORE_VOWEL = {"beau": "bel", "nouveau": "nouvel", "vieux": "vieil"}

INVARIABLE = frozenset({"marron"})

_elides: dict[str, bool] = {}


def starts_with_vowel(word: str) -> bool:
    """Returns whether the word before this one elides ("l'homme", but "le héros")."""
    known = _elides.get(word)
    if known is None:
        lower = word.lower()
        known = lower[0] in VOWELS or (lower[0] == "h" and lower not in ASPIRATED)
        _elides[word] = known
    return known


def elided(word: str, next_word: str) -> str:
    """Returns the form of `word` before `next_word`: "le" or "l'", "si" or "s'"."""
    if word in ELIDING:
        return word[:-1] + "'" if starts_with_vowel(next_word) else word
    if word == "si" and next_word in ("il", "ils"):
        return "s'"
    return word


def pluralize(word: str) -> str:
    """Returns the plural of a noun or of a masculine adjective."""
    if word in INVARIABLE or word.endswith(("s", "x", "z")):
        return word
    if word == "hibou":
        return "hiboux"
    if word.startswith("grand-"):
        return "grands-" + word.removeprefix("grand-") + "s"
    if word.endswith(("eau", "eu")) and word != "bleu":
        return word + "x"
    if word.endswith("al"):
        return word[:-2] + "aux"
    return word + "s"


def feminine(word: str) -> str:
    """Returns the feminine singular of a masculine adjective."""
    if word in IRREGULAR_FEMININE:
        return IRREGULAR_FEMININE[word]
    if word.endswith("e"):
        return word
    if word.endswith("eux"):
        return word[:-1] + "se"
    if word.endswith("er"):
        return word[:-2] + "ère"
    if word.endswith("en"):
        return word + "ne"
    if word.endswith("if"):
        return word[:-1] + "ve"
    return word + "e"


def four_forms(word: str) -> FourForms:
    """Returns the four agreeing forms of an adjective or participle from its masculine singular."""
    fem = feminine(word)
    return word, fem, pluralize(word), pluralize(fem)
