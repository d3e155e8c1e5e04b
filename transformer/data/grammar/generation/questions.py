"""Drawing questions."""

from __future__ import annotations

from transformer.data.grammar import lexicon
from transformer.data.grammar.generation import actions, adverbials, determiners, frames, noun_phrases, states
from transformer.data.grammar.generation.frames import Frame
from transformer.data.grammar.lexicon.entries import Verb
from transformer.data.grammar.nodes import Act, Clause, Control, Nominal, NounPhrase, Pronoun, Question, features
from transformer.data.grammar.sampling import Stream

TENSES = ("past", "past", "future", "present")


def _tense(rng: Stream, verb: Verb) -> str:
    tense = rng.choice(TENSES)
    if verb.base in frames.ACCIDENTS:
        return "past"
    return "past" if verb.aspect == "e" and tense == "present" else "present" if verb.aspect == "s" else tense


def whether(rng: Stream) -> Question:
    """Draws "Did the chicken cross the road?"."""
    clause = rng.choice(
        (
            actions.action,
            actions.action,
            actions.action,
            states.description,
            actions.motion,
            actions.transfer,
            states.location,
        )
    )(rng)
    if clause.time_first:
        clause = clause._replace(time_first=False, time=None if _nested(clause) else clause.time)
    frequency = clause.frequency if clause.frequency in adverbials.FREQUENCIES[:2] else None
    if clause.frequency is not None and frequency is None:
        frequency = adverbials.FREQUENCIES[0]
    if clause.negation == "never" and isinstance(clause.predicate, Act):
        frequency = (
            None if clause.predicate.verb.aspect == "s" or clause.tense != "present" else adverbials.FREQUENCIES[0]
        )
    return Question(clause._replace(negation="", frequency=frequency))


def _subject(rng: Stream, frame: Frame) -> Nominal:
    """Draws the subject of a question; nobody asks what he did himself."""
    who = noun_phrases.subject(rng, frame)
    if isinstance(who, Pronoun) and who.features.slot == 0:
        return noun_phrases.YOU_ALL
    if isinstance(who, NounPhrase) and who.determiner == "every":
        return determiners.definite(who)
    return who


def _nested(clause: Clause) -> bool:
    done = clause.predicate
    return isinstance(done, Act) and isinstance(done.object, NounPhrase) and done.object.relative is not None


def why(rng: Stream) -> Question:
    """Draws "Why is the baby not sleeping?"."""
    frame = rng.choice(frames.ALL)
    who = _subject(rng, frame)
    tense = _tense(rng, frame.verb)
    negated = "not" if rng.chance(40) else ""
    who = determiners.definite(who) if negated else who
    return Question(Clause(who, actions.act(rng, frame, who, definite=bool(negated)), tense, negated), "why")


def where(rng: Stream) -> Question:
    """Draws "Where did Paul buy the bread?", "Where does Marie live?"."""
    roll = rng.below(100)
    if roll < 35:
        verb = rng.choice((actions.GO, actions.LIVE, actions.STAY))
        frame = frames.frame(verb, frames.PERSONS, ())
    else:
        frame = rng.choice(LOCATED)
    who = _subject(rng, frame)
    tense = _tense(rng, frame.verb)
    clause = Clause(who, actions.act(rng, frame, who), tense)
    if tense != "present" and rng.chance(25) and not _nested(clause):
        clause = clause._replace(time=adverbials.time(rng, frame.verb, tense))
    return Question(clause, "where")


LOCATED = tuple(f for f in frames.ALL if f.verb.places and f.people and f.verb.base not in frames.UNASKED_PLACE)


def when(rng: Stream) -> Question:
    """Draws "When will the train arrive?"."""
    frame = rng.choice(frames.INTENDED if rng.chance(75) else frames.INTRANSITIVE_EVENTS)
    who = _subject(rng, frame)
    tense = "future" if rng.chance(50) and frame.verb.base not in frames.ACCIDENTS else "past"
    return Question(Clause(who, actions.act(rng, frame, who), tense), "when")


def what(rng: Stream) -> Question:
    """Draws "What did Marie buy?", "What does Paul want to read?"."""
    frame = rng.choice(frames.DIRECT_THINGS)
    who = _subject(rng, frame)
    tense = _tense(rng, frame.verb)
    clause = Clause(who, Act(frame.verb), tense)
    if frame.verb.base not in frames.UNINTENDED and rng.chance(25):
        control = rng.choice((WANT, CAN, MUST))
        clause = Clause(who, Control(control, Act(frame.verb)), "present" if rng.chance(60) else "future")
    if rng.chance(45) and frame.verb.places and (place := adverbials.place(rng, frame.verb, features(who).human)):
        clause = clause._replace(place=place)
    elif clause.tense != "present" and rng.chance(35):
        clause = clause._replace(time=adverbials.time(rng, frame.verb, clause.tense))
    return Question(clause, "what")


WANT, CAN, MUST = (lexicon.CONTROL[verb] for verb in ("want to", "can", "must"))


def who(rng: Stream) -> Question:
    """Draws "Who ate the apple?"."""
    frame = rng.choice(frames.ALL)
    while not frame.people:
        frame = rng.choice(frames.ALL)
    somebody = NounPhrase(frames.NAMES[10])
    clause = actions.action(rng, frame, somebody)
    done = clause.predicate
    if clause.negation and (clause.negation == "never" or clause.frequency is not None):
        clause = clause._replace(negation="")
        if isinstance(done, Act) and done.verb.aspect == "e" and clause.tense == "present":
            clause = clause._replace(tense="past")
    time = None if clause.time_first else clause.time
    return Question(clause._replace(subject=None, time=time, time_first=False), "who")


def whom(rng: Stream) -> Question:
    """Draws "Who did Paul meet at the station?"."""
    frame = rng.choice(frames.DIRECT_PEOPLE)
    who = _subject(rng, frame)
    clause = Clause(who, Act(frame.verb), _tense(rng, frame.verb))
    if rng.chance(60) and frame.verb.places and (place := adverbials.place(rng, frame.verb, True)):
        clause = clause._replace(place=place)
    elif clause.tense != "present" and rng.chance(40):
        clause = clause._replace(time=adverbials.time(rng, frame.verb, clause.tense))
    return Question(clause, "whom")


def to_whom(rng: Stream) -> Question:
    """Draws "Who did Marie give the book to?"."""
    rng.nesting = 0
    frame = rng.choice(frames.DITRANSITIVE)
    who = _subject(rng, frame)
    return Question(Clause(who, actions.act(rng, frame, who), "past" if rng.chance(65) else "future"), "to whom")


def which(rng: Stream) -> Question:
    """Draws "Which dress did Marie buy?", "How many apples will you eat?"."""
    frame = rng.choice(frames.DIRECT_THINGS)
    noun = rng.choice(frame.objects)
    who = _subject(rng, frame)
    tense = _tense(rng, frame.verb)
    if noun.mass or noun.name or "kin" in noun.kinds or noun.lemma == "truth":
        return what(rng)
    many = rng.chance(40) and frame.verb.lemma not in determiners.SINGLE_VERBS and frame.verb.aspect != "s"
    plural = many or rng.chance(25)
    adjective = rng.choice(noun.adjectives) if noun.adjectives and rng.chance(15) else None
    clause = Clause(who, Act(frame.verb), tense)
    if rng.chance(40) and frame.verb.places and (place := adverbials.place(rng, frame.verb, True)):
        clause = clause._replace(place=place)
    elif tense != "present" and rng.chance(30):
        clause = clause._replace(time=adverbials.time(rng, frame.verb, tense))
    return Question(clause, "which", NounPhrase(noun, "how many" if many else "which", plural, adjective))
