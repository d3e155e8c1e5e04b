"""Samples questions."""

from __future__ import annotations

from transformer.data.grammar import lexicon
from transformer.data.grammar.generation import actions, adverbials, determiners, frames, noun_phrases, states
from transformer.data.grammar.generation.frames import Frame
from transformer.data.grammar.lexicon.entries import Verb
from transformer.data.grammar.nodes import (
    Clause,
    ControlPredicate,
    Nominal,
    NounPhrase,
    Pronoun,
    Question,
    VerbPhrase,
    features,
)
from transformer.data.grammar.sampling import RandomStream

TENSES = ("past", "past", "future", "present")
STATEMENTS = (*(actions.action,) * 3, *(states.description, actions.motion, actions.transfer, states.location))


def _tense(rng: RandomStream, verb: Verb) -> str:
    tense = rng.choice(TENSES)
    if verb.base in frames.ACCIDENTS:
        return "past"
    return "past" if verb.aspect == "event" and tense == "present" else "present" if verb.aspect == "state" else tense


def whether(rng: RandomStream) -> Question:
    """Samples "Did the chicken cross the road?"."""
    clause = rng.choice(STATEMENTS)(rng)
    if clause.time_first:
        time = None if actions.has_relative(clause.predicate) else clause.time
        clause = clause._replace(time_first=False, time=time)
    frequency = clause.frequency if clause.frequency in adverbials.FREQUENCIES[:2] else None
    if clause.frequency is not None and frequency is None:
        frequency = adverbials.FREQUENCIES[0]
    if clause.negation == "never" and isinstance(clause.predicate, VerbPhrase):
        habitual = clause.predicate.verb.aspect != "state" and clause.tense == "present"
        frequency = adverbials.FREQUENCIES[0] if habitual else None
    return Question(clause._replace(negation="", frequency=frequency))


def _subject(rng: RandomStream, frame: Frame) -> Nominal:
    """Samples the subject of a question; "I" becomes "you"."""
    subject = noun_phrases.subject(rng, frame)
    if isinstance(subject, Pronoun) and subject.features.person == 0:
        return noun_phrases.YOU_ALL
    if isinstance(subject, NounPhrase) and subject.determiner == "every":
        return determiners.make_definite(subject)
    return subject


def _where_or_when(rng: RandomStream, clause: Clause, verb: Verb, place: int, time: int, human: bool = True) -> Clause:
    """Returns the clause with a place or else a time, with these probabilities in percent."""
    if rng.chance(place) and verb.places and (likely_place := adverbials.likely_place(rng, verb, human)):
        return clause._replace(place=likely_place)
    if clause.tense != "present" and rng.chance(time):
        return clause._replace(time=adverbials.time_phrase(rng, verb, clause.tense))
    return clause


def why(rng: RandomStream) -> Question:
    """Samples "Why is the baby not sleeping?"."""
    frame = rng.choice(frames.ALL)
    subject = _subject(rng, frame)
    tense = _tense(rng, frame.verb)
    negated = "not" if rng.chance(40) else ""
    subject = determiners.make_definite(subject) if negated else subject
    predicate = actions.verb_phrase(rng, frame, subject, definite=bool(negated))
    return Question(Clause(subject, predicate, tense, negated), "why")


def where(rng: RandomStream) -> Question:
    """Samples "Where did Paul buy the bread?", "Where does Marie live?"."""
    roll = rng.randbelow(100)
    if roll < 35:
        verb = rng.choice((actions.GO, actions.LIVE, actions.STAY))
        frame = frames.make_frame(verb, frames.PERSONS, ())
    else:
        frame = rng.choice(LOCATED)
    subject = _subject(rng, frame)
    tense = _tense(rng, frame.verb)
    clause = Clause(subject, actions.verb_phrase(rng, frame, subject), tense)
    if tense != "present" and rng.chance(25) and not actions.has_relative(clause.predicate):
        clause = clause._replace(time=adverbials.time_phrase(rng, frame.verb, tense))
    return Question(clause, "where")


LOCATED = tuple(f for f in frames.ALL if f.verb.places and f.people and f.verb.base not in frames.UNASKED_PLACE)


def when(rng: RandomStream) -> Question:
    """Samples "When will the train arrive?"."""
    frame = rng.choice(frames.INTENDED if rng.chance(75) else frames.INTRANSITIVE_EVENTS)
    subject = _subject(rng, frame)
    tense = "future" if rng.chance(50) and frame.verb.base not in frames.ACCIDENTS else "past"
    return Question(Clause(subject, actions.verb_phrase(rng, frame, subject), tense), "when")


def what(rng: RandomStream) -> Question:
    """Samples "What did Marie buy?", "What does Paul want to read?"."""
    frame = rng.choice(frames.DIRECT_THINGS)
    subject = _subject(rng, frame)
    tense = _tense(rng, frame.verb)
    clause = Clause(subject, VerbPhrase(frame.verb), tense)
    if frame.verb.base not in frames.UNINTENDED and rng.chance(25):
        control = rng.choice((WANT, CAN, MUST))
        tense = "present" if rng.chance(60) else "future"
        clause = Clause(subject, ControlPredicate(control, VerbPhrase(frame.verb)), tense)
    return Question(_where_or_when(rng, clause, frame.verb, 45, 35, features(subject).human), "what")


WANT, CAN, MUST = (lexicon.CONTROL[verb] for verb in ("want to", "can", "must"))


def who(rng: RandomStream) -> Question:
    """Samples "Who ate the apple?"."""
    frame = rng.choice(frames.ALL)
    while not frame.people:
        frame = rng.choice(frames.ALL)
    somebody = NounPhrase(frames.NAMES[10])
    clause = actions.action(rng, frame, somebody)
    predicate = clause.predicate
    if clause.negation and (clause.negation == "never" or clause.frequency is not None):
        clause = clause._replace(negation="")
        if isinstance(predicate, VerbPhrase) and predicate.verb.aspect == "event" and clause.tense == "present":
            clause = clause._replace(tense="past")
    time = None if clause.time_first else clause.time
    return Question(clause._replace(subject=None, time=time, time_first=False), "who")


def whom(rng: RandomStream) -> Question:
    """Samples "Who did Paul meet at the station?"."""
    frame = rng.choice(frames.DIRECT_PEOPLE)
    subject = _subject(rng, frame)
    clause = Clause(subject, VerbPhrase(frame.verb), _tense(rng, frame.verb))
    return Question(_where_or_when(rng, clause, frame.verb, 60, 40), "whom")


def to_whom(rng: RandomStream) -> Question:
    """Samples "Who did Marie give the book to?"."""
    rng.relative_percent = 0
    frame = rng.choice(frames.DITRANSITIVE)
    subject = _subject(rng, frame)
    predicate = actions.verb_phrase(rng, frame, subject)
    return Question(Clause(subject, predicate, "past" if rng.chance(65) else "future"), "to whom")


def which(rng: RandomStream) -> Question:
    """Samples "Which dress did Marie buy?", "How many apples will you eat?"."""
    frame = rng.choice(frames.DIRECT_THINGS)
    noun = rng.choice(frame.objects)
    subject = _subject(rng, frame)
    tense = _tense(rng, frame.verb)
    if noun.mass or noun.name or "kin" in noun.kinds or noun.lemma == "truth":
        return what(rng)
    many = rng.chance(40) and frame.verb.lemma not in determiners.SINGLE_VERBS and frame.verb.aspect != "state"
    plural = many or rng.chance(25)
    adjective = rng.choice(noun.adjectives) if noun.adjectives and rng.chance(15) else None
    clause = _where_or_when(rng, Clause(subject, VerbPhrase(frame.verb), tense), frame.verb, 40, 30)
    return Question(clause, "which", NounPhrase(noun, "how many" if many else "which", plural, adjective))
