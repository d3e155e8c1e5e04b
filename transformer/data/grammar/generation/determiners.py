"""Samples determiners by noun, and replaces those that a negation or a habit excludes."""

from __future__ import annotations

from typing import TypeVar

from transformer.data.grammar.agreement import HE
from transformer.data.grammar.lexicon.entries import Noun, Verb
from transformer.data.grammar.nodes import Nominal, NounPhrase
from transformer.data.grammar.sampling import RandomStream

# The type of the argument and of the result.
N = TypeVar("N", bound=Nominal)

Choices = tuple[tuple[str, bool], ...]  # determiner, plural


def _weighted(text: str) -> Choices:
    """Returns one item per unit of weight from "determiner weight singular/plural" triples."""
    choices: list[tuple[str, bool]] = []
    for item in text.split(","):
        *name, weight, number = item.split()
        choices += [(" ".join(name), number == "p")] * int(weight)
    return tuple(choices)


SUBJECT_DETERMINERS = _weighted(
    "the 46 s, the 16 p, a 12 s, a 3 p, this 5 s, this 2 p, "
    "two 3 p, three 2 p, several 3 p, few 2 p, many 2 p, every 2 s"
)
OBJECT_DETERMINERS = _weighted(
    "the 34 s, the 12 p, a 24 s, a 8 p, this 4 s, this 2 p, "
    "two 3 p, three 2 p, five 1 p, several 2 p, few 2 p, many 2 p"
)
MASS_DETERMINERS = _weighted("the 26 s, some 70 s, this 4 s")
KIN_SUBJECT = _weighted("my 40 s, our 16 s, your 24 s, my 6 p, our 4 p, your 4 p")
KIN_OBJECT = _weighted("own 50 s, my 20 s, our 10 s, your 16 s, own 8 p")
DE_DETERMINERS = _weighted("the 50 s, a 30 s, this 10 s, own 10 s")
SINGLE_DETERMINERS = _weighted("the 35 s, a 35 s, own 20 s, this 10 s")
PAIR_DETERMINERS = _weighted("the 40 p, a 20 p, own 30 p, this 10 p")
PLACE_DETERMINERS = _weighted("the 58 s, a 22 s, this 14 s, the 6 p")

SINGLE_VERBS = frozenset({"wear", "drive", "ask", "win", "play music", "sign", "rent", "belong to"})
# Determiners that are odd with a negation, a habit or a property of the noun.
VAGUE = frozenset("a some several few many every two three four five ten".split())
COUNTED = frozenset("food portable kitchenware animal plant youth furniture readable clothing".split())
ONE_ONLY = frozenset("father mother grandfather grandmother king queen".split())


def object_determiners(verb: Verb, noun: Noun, person: int) -> Choices:
    """Returns the determiners that the object of a verb can have; `person`: of the subject."""
    if verb.french_preposition == "de":
        return DE_DETERMINERS
    if verb.lemma in SINGLE_VERBS:
        # Nobody wears one glove, and several people do not wear one coat.
        plural = "pair" in noun.kinds or (verb.lemma == "wear" and person > HE)
        return PAIR_DETERMINERS if plural else SINGLE_DETERMINERS
    if COUNTED.isdisjoint(noun.kinds) and not noun.human:
        return PLACE_DETERMINERS
    return OBJECT_DETERMINERS


def sample_determiner(rng: RandomStream, noun: Noun, choices: Choices, owner: bool) -> tuple[str, bool]:
    """Samples a determiner and a number for a noun; `owner`: whether "own" has a subject to refer to."""
    kinds = noun.kinds
    if noun.mass:
        return rng.choice(MASS_DETERMINERS)
    if "kin" in kinds:
        chosen, plural = rng.choice(KIN_OBJECT if owner else KIN_SUBJECT)
        return chosen, plural and noun.lemma not in ONE_ONLY
    chosen, plural = rng.choice(choices)
    if noun.lemma in ONE_ONLY:
        return ("this" if chosen == "this" else "the"), False
    if chosen == "own" and not owner:
        chosen = "the"
    elif owner and chosen in ("the", "a") and "own" in kinds and rng.chance(18):
        chosen = "own"
    if "plenty" in kinds and chosen in ("the", "a", "own", "this") and rng.chance(95 if "pair" in kinds else 70):
        plural = True  # cherries and shoes usually occur in the plural
    return chosen, plural


def negated_object(phrase: NounPhrase) -> NounPhrase:
    """Returns a negated object, in the plural if its French forms are equal ("pas de souris" = "not any mice")."""
    noun = phrase.noun
    return phrase._replace(plural=phrase.plural or (not noun.mass and noun.french[0] == noun.french[1]))


def make_habitual(nominal: N, verb: Verb) -> N:
    """Returns a noun phrase as the object of a habit: "writes letters every day", not "writes the letter"."""
    if isinstance(nominal, NounPhrase) and nominal.determiner in ("the", "this") and not nominal.possessor:
        noun = nominal.noun
        if not (noun.mass or noun.name or noun.human or COUNTED.isdisjoint(noun.kinds) or verb.lemma in SINGLE_VERBS):
            return nominal._replace(determiner="a", plural=True)
    return nominal


def with_the(phrase: NounPhrase, determiners: frozenset[str] = VAGUE) -> NounPhrase:
    """Returns the phrase with "the" instead of one of these determiners, in the same number."""
    return phrase._replace(determiner="the") if phrase.determiner in determiners else phrase


def make_definite(nominal: N) -> N:
    """Returns a noun phrase with "the" instead of a vague determiner ("the boys did not" for "several boys")."""
    if isinstance(nominal, NounPhrase) and nominal.determiner in VAGUE:
        return nominal._replace(determiner="the", plural=nominal.plural and not nominal.noun.mass)
    return nominal
