"""Samples sentences of two independent clauses, and long sentences of many."""

from __future__ import annotations

from transformer.data.grammar import lexicon
from transformer.data.grammar.generation import actions, determiners, frames, noun_phrases, reasons, scripts, states
from transformer.data.grammar.generation.scripts import consecutive_actions, distinct_subjects
from transformer.data.grammar.lexicon.entries import Noun
from transformer.data.grammar.nodes import (
    Clause,
    Coordination,
    Derivation,
    Nominal,
    NounPhrase,
    Subordination,
    VerbPhrase,
    pronoun_for,
)
from transformer.data.grammar.sampling import RandomStream


def when(rng: RandomStream) -> Derivation:
    """Samples "The boy was sleeping when Marie arrived" or "When Marie arrives, we will eat"."""
    event, frame = rng.choice(frames.INTRANSITIVE_EVENTS), rng.choice(frames.ACTIVITIES)
    subject, other = distinct_subjects(rng, event, frame)
    future = rng.chance(45)
    main = Clause(other, actions.verb_phrase(rng, frame, other), "future" if future else "background")
    subordinate = Clause(subject, VerbPhrase(event.verb), "prospect" if future else "past")
    return Subordination(main, "when", subordinate, fronted=rng.chance(50))


def meanwhile(rng: RandomStream) -> Derivation:
    """Samples "Paul read a book while the children were playing"."""
    first_frame, second_frame = rng.choice(frames.ACTIVITIES), rng.choice(frames.ACTIVITIES)
    if rng.chance(60):
        pair = consecutive_actions(rng)
        if pair[0].verb.aspect == pair[1].verb.aspect == "activity":
            first_frame, second_frame = pair
    subject, other = distinct_subjects(rng, first_frame, second_frame)
    present = rng.chance(35)
    main = Clause(subject, actions.verb_phrase(rng, first_frame, subject), "present" if present else "past")
    subordinate = Clause(other, actions.verb_phrase(rng, second_frame, other), "present" if present else "background")
    return Subordination(main, "while", subordinate, fronted=rng.chance(40))


def contrast(rng: RandomStream) -> Derivation:
    """Samples "Marie likes apples, but Paul prefers cherries", "Marie read the book, but Paul did not read it"."""
    if rng.chance(55):
        nouns = rng.choice(TASTES)
        verb, other_verb = rng.choice(TASTE_VERBS)
        noun = rng.choice(nouns)
        second = noun_phrases.different_noun(rng, nouns, NounPhrase(noun))
        subject, other = distinct_subjects(rng, frames.PEOPLE, frames.PEOPLE)
        tense = "present" if rng.chance(75) else "past"
        return Coordination(_taste(subject, verb, noun, tense), "but", _taste(other, other_verb, second, tense))
    frame = rng.choice(frames.DIRECT_THINGS)
    subject, other = distinct_subjects(rng, frame, frames.PEOPLE)
    object_phrase = noun_phrases.direct_object(rng, frame.verb, rng.choice(frame.objects), subject)
    object_phrase = determiners.with_the(object_phrase)
    tense = "past" if frame.verb.aspect != "state" else "present"
    negated_first = rng.chance(30)
    first = Clause(subject, VerbPhrase(frame.verb, object_phrase), tense, "not" if negated_first else "")
    last = Clause(other, VerbPhrase(frame.verb, pronoun_for(object_phrase)), tense, "" if negated_first else "not")
    return Coordination(first, "but", last)


def _taste(subject: Nominal, verb: str, noun: Noun, tense: str) -> Clause:
    """Returns a clause such as "Marie likes apples"."""
    return Clause(subject, VerbPhrase(lexicon.TRANSITIVE[verb], NounPhrase(noun, "generic", not noun.mass)), tense)


TASTES = tuple(lexicon.select_nouns(kind) for kind in ("fruit", "drink", "sweet", "vegetable", "pet livestock"))
TASTE_VERBS = (("like", "prefer"), ("like", "hate"), ("love", "prefer"), ("hate", "love"), ("hate", "like"))


def weather(rng: RandomStream) -> Derivation:
    """Samples "Marie will not leave if it rains", "We stayed at the hotel because it was raining"."""
    verb = lexicon.WEATHER["rain" if rng.chance(65) else "snow"]
    frame = rng.choice(OUTDOOR)
    subject = noun_phrases.subject(rng, frame)
    predicate = actions.verb_phrase(rng, frame, subject, definite=True)
    tense, conjunction, weather_tense = rng.choice(WEATHER_SENTENCES)
    fronted = rng.chance(60) if conjunction == "if" else conjunction == "when"
    main = Clause(subject, predicate, tense, "not")
    return Subordination(main, conjunction, Clause(states.DUMMY, VerbPhrase(verb), weather_tense), fronted)


# tense of the main clause, conjunction, tense of the weather
WEATHER_SENTENCES = (("future", "if", "condition"), ("past", "because", "background"), ("habit", "when", "habit"))
OUTDOOR_VERBS = "run swim walk work leave travel paint repair wash climb water visit".split()
OUTDOOR = tuple(f for f in frames.INTENDED if f.verb.lemma in OUTDOOR_VERBS)


def long(rng: RandomStream) -> Derivation:
    """Samples a sentence of several clauses with relative clauses in them."""
    rng.relative_percent = 38
    first = _long_part(rng)
    second = _long_part(rng)
    contrasted = any(isinstance(part, Coordination) and part.conjunction == "but" for part in (first, second))
    sentence = Coordination(first, "and too" if contrasted or rng.chance(65) else "but", second)
    if rng.chance(25):
        sentence = Coordination(sentence, "and too", _long_part(rng))
    return sentence


def _long_part(rng: RandomStream) -> Derivation:
    while True:
        part = rng.choice(LONG_PARTS)(rng)
        if part is not None:
            return part


LONG_PARTS = (
    *(*(actions.action,) * 4, actions.transfer, actions.control, actions.report, states.location),
    *(scripts.errand, scripts.follow_up, scripts.shared_subject, when, meanwhile),
    *(reasons.because, reasons.because, reasons.although, reasons.if_clause),
)
