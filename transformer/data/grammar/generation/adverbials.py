"""Samples places, times and tenses."""

from __future__ import annotations

from transformer.data.grammar import lexicon
from transformer.data.grammar.generation import frames
from transformer.data.grammar.lexicon.entries import Noun, UninflectedPhrase, Verb
from transformer.data.grammar.nodes import NounPhrase, PlacePhrase
from transformer.data.grammar.sampling import RandomStream


def likely_place(rng: RandomStream, verb: Verb, human: bool) -> PlacePhrase | None:
    """Samples a place where an action is likely, or None; animals are only outdoors."""
    noun = rng.choice(verb.places)
    if not human and "outdoor" not in noun.kinds and "path" not in noun.kinds:
        return None
    return place_phrase(rng, noun, human)


def place_phrase(rng: RandomStream, noun: Noun, owner: bool = False) -> PlacePhrase | None:
    """Samples the place phrase of a noun; None if the noun is not a place."""
    if noun.location is None:
        return None
    if owner and noun.lemma in ("bedroom", "garden", "house", "kitchen") and rng.chance(30):
        return PlacePhrase(noun.location, NounPhrase(noun, "own"))
    adjective = rng.choice(noun.adjectives) if noun.adjectives and rng.chance(12) else None
    return PlacePhrase(noun.location, NounPhrase(noun, "the", adjective=adjective))


def _short(times: dict[str, UninflectedPhrase]) -> tuple[UninflectedPhrase, ...]:
    return tuple(
        entry for lemma, entry in times.items() if lemma.split()[-1] not in ("month", "year", "summer", "winter")
    )


# "next year" is only for verbs in LASTING, whose actions take long or are planned.
TIMES: dict[str, tuple[UninflectedPhrase, ...]] = {
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


def time_phrase(rng: RandomStream, verb: Verb, tense: str) -> UninflectedPhrase:
    """Samples a time for an action in a tense that is a key of `TIMES`."""
    lasting = verb.base in LASTING and tense in ("past", "future")
    return rng.choice(TIMES["long " + tense if lasting else tense])


def verb_tense(rng: RandomStream, verb: Verb) -> str:
    """Samples a tense that the aspect of the verb allows; "habit" requires an adverb of frequency or time."""
    roll = rng.randbelow(100)
    if verb.base in frames.ACCIDENTS:
        return "past"
    if verb.base in frames.ONCE:
        return "past" if roll < 65 else "future"
    if verb.aspect == "event":
        return "past" if roll < 55 else "future" if roll < 85 else "habit"
    if verb.aspect == "state":
        return "present" if roll < 60 else "past" if roll < 90 or verb.base not in ("need", "have") else "future"
    if verb.aspect == "perception":
        return "present" if roll < 30 else "past" if roll < 75 else "future"
    return "present" if roll < 28 else "past" if roll < 65 else "future" if roll < 83 else "habit"
