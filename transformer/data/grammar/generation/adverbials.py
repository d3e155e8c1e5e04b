"""Drawing places, times and tenses."""

from __future__ import annotations

from transformer.data.grammar import lexicon
from transformer.data.grammar.generation import frames
from transformer.data.grammar.lexicon.entries import Fixed, Noun, Verb
from transformer.data.grammar.nodes import NounPhrase, Place
from transformer.data.grammar.sampling import Stream


def place(rng: Stream, verb: Verb, human: bool) -> Place | None:
    """Draws a place where an action is likely, or None; animals stay outdoors."""
    noun = rng.choice(verb.places)
    if not human and "outdoor" not in noun.kinds and "path" not in noun.kinds:
        return None
    return where(rng, noun, human)


def where(rng: Stream, noun: Noun, owner: bool = False) -> Place | None:
    """Draws the place phrase of a noun that one can be in or at."""
    if noun.where is None:
        return None
    if owner and noun.lemma in ("bedroom", "garden", "house", "kitchen") and rng.chance(30):
        return Place(noun.where, NounPhrase(noun, "own"))
    adjective = rng.choice(noun.adjectives) if noun.adjectives and rng.chance(12) else None
    return Place(noun.where, NounPhrase(noun, "the", adjective=adjective))


def _short(times: dict[str, Fixed]) -> tuple[Fixed, ...]:
    return tuple(
        entry for lemma, entry in times.items() if lemma.split()[-1] not in ("month", "year", "summer", "winter")
    )


# "next year" is for what takes time or is planned: verbs in LASTING.
TIMES: dict[str, tuple[Fixed, ...]] = {
    "past": _short(lexicon.PAST_TIMES),
    "future": _short(lexicon.FUTURE_TIMES),
    "long past": tuple(lexicon.PAST_TIMES.values()),
    "long future": tuple(lexicon.FUTURE_TIMES.values()),
    "present": tuple(lexicon.PRESENT_TIMES.values()),
    "habit": tuple(lexicon.HABIT_TIMES.values()),
}
LASTING = frozenset(
    "travel visit build sell learn translate rent hire meet discover climb destroy photograph study work win "
    "invite".split()
)
FREQUENCIES = tuple(lexicon.FREQUENCIES.values())


def time(rng: Stream, verb: Verb, tense: str) -> Fixed:
    """Draws a time for an action in a tense that is a key of `TIMES`."""
    lasting = verb.base in LASTING and tense in ("past", "future")
    return rng.choice(TIMES["long " + tense if lasting else tense])


def verb_tense(rng: Stream, verb: Verb) -> str:
    """Draws a tense that the aspect of the verb allows; "habit" asks for an adverb that makes it one."""
    roll = rng.below(100)
    if verb.base in frames.ACCIDENTS:
        return "past"
    if verb.base in frames.ONCE:
        return "past" if roll < 65 else "future"
    if verb.aspect == "e":
        return "past" if roll < 55 else "future" if roll < 85 else "habit"
    if verb.aspect == "s":
        return "present" if roll < 60 else "past" if roll < 90 or verb.base not in ("need", "have") else "future"
    if verb.aspect == "p":
        return "present" if roll < 30 else "past" if roll < 75 else "future"
    return "present" if roll < 28 else "past" if roll < 65 else "future" if roll < 83 else "habit"
