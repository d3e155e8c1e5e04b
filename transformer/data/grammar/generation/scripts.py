"""Samples sequences of actions: what somebody does next, before, without or in order to do something else."""

from __future__ import annotations

from typing import NamedTuple

from transformer.data.grammar import lexicon
from transformer.data.grammar.agreement import HE, THEY
from transformer.data.grammar.generation import actions, adverbials, determiners, frames, noun_phrases
from transformer.data.grammar.generation.frames import Frame
from transformer.data.grammar.lexicon import plausibility
from transformer.data.grammar.lexicon.entries import Noun, Verb
from transformer.data.grammar.lexicon.plausibility import ActionPattern
from transformer.data.grammar.nodes import (
    Clause,
    CoordinatedNounPhrase,
    Coordination,
    Derivation,
    InfinitiveAdjunct,
    Nominal,
    NounPhrase,
    PlacePhrase,
    Pronoun,
    VerbPhrase,
    pronoun_for,
)
from transformer.data.grammar.sampling import RandomStream


class FollowUp(NamedTuple):
    """An action, another one on the same object, whether the second does not happen, and the possible objects."""

    first: Frame
    verb: Verb
    negated: bool
    objects: tuple[Noun, ...]


def _follow_ups() -> tuple[FollowUp, ...]:
    follow_ups = []
    for rule in plausibility.FOLLOW_UPS:
        first_frames = [f for f in frames.DIRECT if f.verb in rule.actions and f.people]
        for negated, verbs in ((False, rule.following), (True, rule.omitted)):
            for verb in verbs:
                possible = {noun for subjects, objects in verb.frames if len(subjects) > 30 for noun in objects}
                for first in first_frames:
                    shared = tuple(noun for noun in first.objects if noun in possible)
                    if shared:
                        follow_ups.append(FollowUp(first, verb, negated, shared))
    return tuple(follow_ups)


FOLLOW_UP_ACTIONS = _follow_ups()


def follow_up(rng: RandomStream) -> Derivation:
    """Samples "Marie bought a book and she read it", "..., but she did not read it", "..., but Paul did not ..."."""
    first, verb, negated, nouns = rng.choice(FOLLOW_UP_ACTIONS)
    rng.relative_percent //= 2
    subject = noun_phrases.subject(rng, first)
    object_phrase = noun_phrases.other_object(rng, first.verb, nouns, subject)
    tense = "past" if rng.chance(75) else "future"
    opening = Clause(subject, VerbPhrase(first.verb, object_phrase), tense)
    if rng.chance(20):
        opening = opening._replace(time=adverbials.time_phrase(rng, first.verb, tense), time_first=True)
    roll = rng.randbelow(100)
    second_subject: Nominal | None = pronoun_for(subject)
    if negated and roll < 40:
        second_subject = NounPhrase(noun_phrases.different_noun(rng, frames.NAMES, subject))
    elif not negated and roll < 35 and not isinstance(subject, Pronoun) and object_phrase.relative is None:
        second_subject = None
    second = Clause(second_subject, VerbPhrase(verb, pronoun_for(object_phrase)), tense, "not" if negated else "")
    return Coordination(opening, "but" if negated else "and", second)


def _frame(pattern: ActionPattern) -> Frame:
    """Returns the frame of an action for any person."""
    return frames.make_frame(pattern.verb, frames.ADULTS, pattern.objects)


ERRANDS = tuple(
    (place, _frame(pattern))
    for places, patterns in plausibility.PURPOSES
    for pattern in patterns
    for place in places
    if place.destination is not None
)


TO_DO, WITHOUT_DOING, BEFORE_DOING = (lexicon.PREPOSITIONS[p] for p in ("to do", "without doing", "before doing"))


def errand(rng: RandomStream) -> Clause:
    """Samples "Paul went to the market to buy some bread"."""
    place, frame = rng.choice(ERRANDS)
    subject = noun_phrases.subject(rng, frame)
    tense = adverbials.verb_tense(rng, actions.GO)
    clause = Clause(subject, VerbPhrase(actions.GO), tense, "not" if rng.chance(8) else "")
    clause = actions.with_adverbials(rng, clause)
    object_phrase = None
    if frame.objects:
        object_phrase = noun_phrases.direct_object(rng, frame.verb, rng.choice(frame.objects), subject)
    adjunct = InfinitiveAdjunct(TO_DO, VerbPhrase(frame.verb, object_phrase))
    destination = PlacePhrase(place.destination or actions.TO, NounPhrase(place))
    return clause._replace(place=destination, time_first=clause.time is not None, adjunct=adjunct)


def shared_subject(rng: RandomStream) -> Derivation:
    """Samples "Marie opened the window and called her mother", "The children are singing and dancing"."""
    first, second = consecutive_actions(rng)
    rng.relative_percent = 0  # the second verb would seem to belong to a relative clause
    activities = first.verb.aspect == second.verb.aspect == "activity"
    tense = ("past", "past", "future", "future", "present")[rng.randbelow(5 if activities else 4)]
    subject = noun_phrases.subject(rng, first)
    if isinstance(subject, Pronoun) and subject.features.person not in (HE, THEY):
        subject = NounPhrase(rng.choice(frames.NAMES))  # French repeats "je"
    predicate = actions.verb_phrase(rng, first, subject)
    clause = Clause(subject, predicate, tense)
    if rng.chance(25):
        clause = clause._replace(time=adverbials.time_phrase(rng, first.verb, tense), time_first=True)
    shared = actions.verb_phrase(rng, second, subject, exclude=predicate.object)
    return Coordination(clause, "and", Clause(None, shared, tense))


SEQUENCE_FRAMES = tuple(tuple(map(_frame, patterns)) for patterns in plausibility.ACTION_SEQUENCES)


def consecutive_actions(rng: RandomStream) -> tuple[Frame, Frame]:
    """Samples two consecutive actions of a sequence."""
    sequence = rng.choice(SEQUENCE_FRAMES)
    k = rng.randbelow(len(sequence) - 1)
    return sequence[k], sequence[k + 1]


def before(rng: RandomStream) -> Clause:
    """Samples "Marie washed the shirts before ironing the skirts"."""
    first, second = consecutive_actions(rng)
    while not second.objects:
        first, second = consecutive_actions(rng)
    rng.relative_percent = 0
    subject = noun_phrases.subject(rng, first)
    tense = "past" if rng.chance(65) else "future"
    time = adverbials.time_phrase(rng, first.verb, tense) if rng.chance(25) else None
    predicate = actions.verb_phrase(rng, first, subject)
    adjunct = InfinitiveAdjunct(BEFORE_DOING, actions.verb_phrase(rng, second, subject, exclude=predicate.object))
    return Clause(subject, predicate, tense, time=time, time_first=time is not None, adjunct=adjunct)


def without(rng: RandomStream) -> Clause:
    """Samples "Paul signed the letter without reading it", "We left without closing the door"."""
    rng.relative_percent = 0
    tense = "past" if rng.chance(70) else "future"
    if rng.chance(40):
        first, second = rng.choice(NEGLECTED_ACTIONS)
        subject = noun_phrases.subject(rng, first)
        adjunct = InfinitiveAdjunct(WITHOUT_DOING, actions.verb_phrase(rng, second, subject, definite=True))
        return Clause(subject, actions.verb_phrase(rng, first, subject), tense, adjunct=adjunct)
    first, verb, nouns = rng.choice(OMITTED_ACTIONS)
    subject = noun_phrases.subject(rng, first)
    object_phrase = noun_phrases.other_object(rng, first.verb, nouns, subject)
    adjunct = InfinitiveAdjunct(WITHOUT_DOING, VerbPhrase(verb, pronoun_for(object_phrase)))
    return Clause(subject, VerbPhrase(first.verb, object_phrase), tense, adjunct=adjunct)


def _omitted_actions() -> tuple[tuple[Frame, Verb, tuple[Noun, ...]], ...]:
    """Returns (action, action omitted before it, objects that both can have)."""
    omitted = []
    for following, verbs in plausibility.OMISSIONS:
        for first in frames.DIRECT:
            for verb in verbs if first.verb in following and first.people else ():
                shared = tuple(n for n in first.objects if any(n in objects for _, objects in verb.frames))
                if shared:
                    omitted.append((first, verb, shared))
    return tuple(omitted)


OMITTED_ACTIONS = _omitted_actions()
NEGLECTED_ACTIONS = tuple(
    (_frame(act), _frame(neglected)) for act, omitted in plausibility.NEGLECTED for neglected in omitted
)


def and_then(rng: RandomStream) -> Derivation:
    """Samples two actions of two people in one tense, joined by "and"."""
    first, second = consecutive_actions(rng)
    subject, second_subject = distinct_subjects(rng, first, second)
    activities = first.verb.aspect == second.verb.aspect == "activity"
    tense = ("past", "future", "present")[rng.randbelow(3 if activities else 2)]
    first_clause = Clause(subject, actions.verb_phrase(rng, first, subject), tense)
    second_clause = Clause(second_subject, actions.verb_phrase(rng, second, second_subject), tense)
    return Coordination(first_clause, "and too", second_clause)


def distinct_subjects(rng: RandomStream, first: Frame, second: Frame) -> tuple[Nominal, Nominal]:
    """Samples two different subjects, of which at most one is a third-person pronoun."""
    subject = noun_phrases.subject(rng, first)
    second_subject = noun_phrases.subject(rng, second, pronouns=False)
    if isinstance(subject, Pronoun) and subject.features.person in (2, 5):
        subject = NounPhrase(rng.choice(frames.NAMES))
    if not _nouns(subject).isdisjoint(_nouns(second_subject)):
        taken = _nouns(subject)
        second_subject = NounPhrase(rng.choice([name for name in frames.NAMES if name not in taken]))
    return _single_out(subject), _single_out(second_subject)


def _single_out(nominal: Nominal) -> Nominal:
    """Returns the subject without "every", which is odd in two clauses."""
    every = isinstance(nominal, NounPhrase) and nominal.determiner == "every"
    return determiners.make_definite(nominal) if every else nominal


def _nouns(nominal: Nominal) -> set[Noun]:
    if isinstance(nominal, CoordinatedNounPhrase):
        return {nominal.first.noun, nominal.second.noun}
    return {nominal.noun} if isinstance(nominal, NounPhrase) else set()
