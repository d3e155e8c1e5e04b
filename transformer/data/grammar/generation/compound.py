"""Drawing sentences of two clauses about different things, and long sentences of many."""

from __future__ import annotations

from transformer.data.grammar import lexicon
from transformer.data.grammar.agreement import HE, Features
from transformer.data.grammar.generation import actions, determiners, frames, noun_phrases, reasons, scripts, states
from transformer.data.grammar.generation.scripts import together, two_subjects
from transformer.data.grammar.nodes import (
    Act,
    Clause,
    Joined,
    NounPhrase,
    Pronoun,
    Sentence,
    Subordinated,
    features,
    pronoun_for,
)
from transformer.data.grammar.sampling import Stream


def when(rng: Stream) -> Sentence:
    """Draws "The boy was sleeping when Marie arrived" or "When Marie arrives, we will eat"."""
    event, frame = rng.choice(frames.INTRANSITIVE_EVENTS), rng.choice(frames.ACTIVITIES)
    who, other = two_subjects(rng, event, frame)
    future = rng.chance(45)
    main = Clause(other, actions.act(rng, frame, other), "future" if future else "background")
    sub = Clause(who, Act(event.verb), "prospect" if future else "past")
    return Subordinated(main, "when", sub, fronted=rng.chance(50))


def meanwhile(rng: Stream) -> Sentence:
    """Draws "Paul read a book while the children were playing"."""
    one, two = rng.choice(frames.ACTIVITIES), rng.choice(frames.ACTIVITIES)
    if rng.chance(60):
        pair = together(rng)
        one, two = pair if pair[0].verb.aspect == pair[1].verb.aspect == "a" else (one, two)
    who, other = two_subjects(rng, one, two)
    present = rng.chance(35)
    main = Clause(who, actions.act(rng, one, who), "present" if present else "past")
    sub = Clause(other, actions.act(rng, two, other), "present" if present else "background")
    return Subordinated(main, "while", sub, fronted=rng.chance(40))


def contrast(rng: Stream) -> Sentence:
    """Draws "Marie likes apples, but Paul prefers cherries", "Marie read the book, but Paul did not read it"."""
    if rng.chance(55):
        one = rng.choice(TASTES)
        verb, other_verb = rng.choice(TASTE_VERBS)
        noun = rng.choice(one)
        second = noun_phrases.other_noun(rng, one, NounPhrase(noun))
        who, other = two_subjects(rng, frames.PEOPLE, frames.PEOPLE)
        tense = "present" if rng.chance(75) else "past"
        first = Clause(who, Act(lexicon.TRANSITIVE[verb], NounPhrase(noun, "generic", not noun.mass)), tense)
        last = Clause(other, Act(lexicon.TRANSITIVE[other_verb], NounPhrase(second, "generic", not second.mass)), tense)
        return Joined(first, "but", last)
    frame = rng.choice(frames.DIRECT_THINGS)
    who, other = two_subjects(rng, frame, frames.PEOPLE)
    thing = noun_phrases.direct_object(rng, frame.verb, rng.choice(frame.objects), features(who))
    if thing.determiner in determiners.VAGUE:
        thing = thing._replace(determiner="the")
    tense = "past" if frame.verb.aspect != "s" else "present"
    negated_first = rng.chance(30)
    first = Clause(who, Act(frame.verb, thing), tense, "not" if negated_first else "")
    last = Clause(other, Act(frame.verb, pronoun_for(thing)), tense, "" if negated_first else "not")
    return Joined(first, "but", last)


TASTES = tuple(lexicon.nouns_of(kind) for kind in ("fruit", "drink", "sweet", "vegetable", "pet livestock"))
TASTE_VERBS = (("like", "prefer"), ("like", "hate"), ("love", "prefer"), ("hate", "love"), ("hate", "like"))


def weather(rng: Stream) -> Sentence:
    """Draws "Marie will not leave if it rains", "We stayed at the hotel because it was raining"."""
    verb = lexicon.WEATHER["rain" if rng.chance(65) else "snow"]
    it = Pronoun(Features(HE, 0, False))
    frame = rng.choice(OUTDOOR)
    who = noun_phrases.subject(rng, frame)
    done = actions.act(rng, frame, who, definite=True)
    roll = rng.below(3)
    if roll == 0:
        sky = Clause(it, Act(verb), "condition")
        return Subordinated(Clause(who, done, "future", "not"), "if", sky, fronted=rng.chance(60))
    if roll == 1:
        return Subordinated(Clause(who, done, "past", "not"), "because", Clause(it, Act(verb), "background"))
    return Subordinated(Clause(who, done, "habit", "not"), "when", Clause(it, Act(verb), "habit"), fronted=True)


OUTDOOR = tuple(
    f
    for f in frames.INTENDED
    if f.verb.lemma
    in ("run", "swim", "walk", "work", "leave", "travel", "paint", "repair", "wash", "climb", "water", "visit")
)


def long(rng: Stream) -> Sentence:
    """Draws a sentence of several clauses with relative clauses in them."""
    rng.nesting = 38
    first = _long_part(rng)
    second = _long_part(rng)
    contrasted = any(isinstance(part, Joined) and part.conjunction == "but" for part in (first, second))
    sentence = Joined(first, "and too" if contrasted or rng.chance(65) else "but", second)
    if rng.chance(25):
        sentence = Joined(sentence, "and too", _long_part(rng))
    return sentence


def _long_part(rng: Stream) -> Sentence:
    while True:
        part = rng.choice(LONG_PARTS)(rng)
        if part is not None:
            return part


LONG_PARTS = (
    *(actions.action,) * 4,
    actions.transfer,
    actions.control,
    actions.report,
    states.location,
    scripts.errand,
    scripts.follow_up,
    scripts.shared_subject,
    when,
    meanwhile,
    reasons.because,
    reasons.because,
    reasons.although,
    reasons.if_clause,
)
