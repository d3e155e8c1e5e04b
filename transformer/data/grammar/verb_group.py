"""Verb groups: the one-to-one correspondence between French and English forms.

| tense               | French, event or activity | French, state | English, activity   | English, others  |
|---------------------|---------------------------|---------------|---------------------|------------------|
| present             | présent                   | présent       | is eating           | sees, knows      |
| past                | passé composé             | imparfait     | ate                 | saw, knew        |
| future              | futur                     | futur         | will eat            | will know        |
| background          | imparfait                 | imparfait     | was eating          | knew             |
| habit               | présent                   | présent       | eats                | knows            |
| condition (if)      | présent                   | présent       | eats                | knows            |
| prospect (when)     | futur                     | futur         | eats                | knows            |
| concession, present | subjonctif                | subjonctif    | (être, avoir only)  | is               |
| concession, past    | subjonctif                | subjonctif    | (être, avoir only)  | was              |

An activity with an adverb of frequency, "never" or a time such as "every day" is a habit: "mange souvent" = "often
eats".
"""

from __future__ import annotations

from typing import NamedTuple

from transformer.data.grammar.agreement import HE
from transformer.data.grammar.conjugation import SUBJUNCTIVE, conjugate
from transformer.data.grammar.lexicon.entries import Verb


class Tense(NamedTuple):
    """The French and the English form of a tense, and its tag."""

    french: str
    english: str
    tag: str


TENSES = {
    "present": Tense("present", "present", "present"),
    "past": Tense("past", "past", "past"),
    "future": Tense("future", "future", "future"),
    "background": Tense("imperfect", "past progressive", "past"),
    "habit": Tense("present", "simple present", "present"),
    "condition": Tense("present", "simple present", "present"),
    "prospect": Tense("future", "simple present", "future"),
    "concession, present": Tense("subjunctive", "present", "present"),
    "concession, past": Tense("subjunctive", "past", "past"),
}

AUXILIARY_AVOIR = conjugate("avoir").present
AUXILIARY_ETRE = conjugate("être").present
REFLEXIVE = ("me", "te", "se", "nous", "vous", "se")

BE_PRESENT = ("am", "are", "is", "are", "are", "are")
BE_PAST = ("was", "were", "was", "were", "were", "were")

# modal: English tense → (auxiliary, the words after it that are not the infinitive)
MODALS: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "can": {"present": ("can", ()), "past": ("could", ()), "future": ("will", ("be", "able", "to"))},
    "must": {"present": ("must", ()), "past": ("", ("had", "to")), "future": ("will", ("have", "to"))},
}


def french_group(verb: Verb, tense: str, person: int, gender_number: int) -> tuple[str, str]:
    """Returns the finite form and the participle ("" in a simple tense); the participle has this gender and number."""
    forms = verb.french
    if tense == "present":
        return forms.present[person], ""
    if tense == "future":
        return forms.future[person], ""
    if tense == "subjunctive":
        return SUBJUNCTIVE[forms.infinitive][person], ""
    if tense == "imperfect" or verb.aspect == "state":
        return forms.imperfect[person], ""
    auxiliary = AUXILIARY_ETRE if verb.with_etre else AUXILIARY_AVOIR
    return auxiliary[person], forms.participle[gender_number]


def english_group(verb: Verb, tense: str, person: int, habit: bool, support: bool) -> tuple[str, tuple[str, ...]]:
    """Returns the auxiliary ("" if none) and the main words.

    Args:
        verb: the verb.
        tense: an English tense of `TENSES`.
        person: the person of the subject.
        habit: whether an activity is habitual and has the simple present.
        support: whether "not" or a question needs an auxiliary: "did eat" instead of "ate".
    """
    if verb.copular:
        if tense == "future":
            return "will", ("be",)
        return (BE_PAST if tense.startswith("past") else BE_PRESENT)[person], ()
    if verb.base in MODALS:
        auxiliary, words = MODALS[verb.base][tense.removeprefix("simple ").removesuffix(" progressive")]
        return ("did", ("have", "to")) if support and not auxiliary else (auxiliary, words)
    if tense == "future":
        return "will", (verb.base,)
    if verb.aspect == "activity" and not habit and tense in ("present", "past progressive"):
        return (BE_PAST if tense.startswith("past") else BE_PRESENT)[person], (verb.present_participle,)
    if tense.startswith("past"):
        return ("did", (verb.base,)) if support else ("", (verb.past,))
    third = person == HE
    if support:
        return "does" if third else "do", (verb.base,)
    return "", (verb.third_person if third else verb.base,)
