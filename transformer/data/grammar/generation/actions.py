"""Samples clauses about actions, motion, giving, wanting and saying."""

from __future__ import annotations

from transformer.data.grammar import lexicon
from transformer.data.grammar.generation import adverbials, determiners, frames, noun_phrases
from transformer.data.grammar.generation.frames import Frame
from transformer.data.grammar.generation.states import description
from transformer.data.grammar.nodes import (
    Clause,
    ControlPredicate,
    CoordinatedNounPhrase,
    Nominal,
    NounPhrase,
    PlacePhrase,
    Predicate,
    Pronoun,
    ReportPredicate,
    VerbPhrase,
    features,
)
from transformer.data.grammar.sampling import RandomStream

TO, FROM = lexicon.PREPOSITIONS["to"], lexicon.PREPOSITIONS["from"]
GO, COME_BACK, LIVE, STAY, RETURN = (lexicon.MOTION[v] for v in ("go", "come back", "live", "stay", "return"))


def sample_negation(rng: RandomStream) -> str:
    """Samples "not", "never" or ""."""
    roll = rng.randbelow(100)
    return "not" if roll < 20 else "never" if roll < 24 else ""


def verb_phrase(
    rng: RandomStream, frame: Frame, subject: Nominal, definite: bool = False, exclude: Nominal | None = None
) -> VerbPhrase:
    """Samples a verb phrase from a frame.

    Args:
        rng: the random stream.
        frame: the verb with its possible objects.
        subject: the subject, whose noun is not the object.
        definite: exclude vague determiners.
        exclude: another noun phrase whose noun is not the object.
    """
    if not frame.objects:
        return VerbPhrase(frame.verb)
    noun = noun_phrases.different_noun(rng, frame.objects, exclude or subject)
    if isinstance(subject, NounPhrase) and noun is subject.noun:
        noun = noun_phrases.different_noun(rng, frame.objects, subject)
    object_phrase = noun_phrases.direct_object(rng, frame.verb, noun, subject)
    return VerbPhrase(frame.verb, determiners.make_definite(object_phrase) if definite else object_phrase)


def action(rng: RandomStream, frame: Frame | None = None, subject: Nominal | None = None, tense: str = "") -> Clause:
    """Samples a clause about an action, with negation and adverbials."""
    frame = frame or rng.choice(frames.TRANSITIVE if rng.chance(78) else frames.INTRANSITIVE)
    subject = subject or noun_phrases.subject(rng, frame)
    tense = tense or adverbials.verb_tense(rng, frame.verb)
    negation = sample_negation(rng)
    if negation:
        negation = "not" if frame.verb.aspect == "state" else negation
        subject = determiners.make_definite(subject)
    if tense == "habit":
        rng.relative_percent = 0
    predicate = verb_phrase(rng, frame, subject)
    object_phrase = predicate.object
    if isinstance(object_phrase, NounPhrase):
        if (negation or tense == "habit") and object_phrase.determiner not in ("a", "some"):
            object_phrase = determiners.make_definite(object_phrase)
        if negation and object_phrase.determiner == "a":
            object_phrase = determiners.negated_object(object_phrase)
        if tense == "habit" and not frame.verb.french_preposition:
            object_phrase = determiners.make_habitual(object_phrase, frame.verb)
        if negation and object_phrase.relative:  # "no book that ..." would ask for the subjunctive
            object_phrase = determiners.make_definite(object_phrase)
        if not negation and rng.chance(6):
            object_phrase = _coordinated_object(rng, frame, object_phrase)
    return with_adverbials(rng, Clause(subject, VerbPhrase(frame.verb, object_phrase), tense, negation))


def _coordinated_object(rng: RandomStream, frame: Frame, first: NounPhrase) -> NounPhrase | CoordinatedNounPhrase:
    """Returns the object with a second one that has the same determiner, if that is possible."""
    if len(frame.objects) < 4 or first.relative or first.adjective or first.noun.name or "kin" in first.noun.kinds:
        return first
    if frame.verb.french_preposition or first.possessor or first.complement:
        return first
    second = noun_phrases.different_noun(rng, frame.objects, first)
    if second.mass != first.noun.mass or second is first.noun or second.name or "kin" in second.kinds:
        return first
    conjunction = "or" if rng.chance(15) else "and"
    return CoordinatedNounPhrase(first, NounPhrase(second, first.determiner, first.plural), conjunction)


def has_relative(predicate: Predicate) -> bool:
    """Returns whether the object of a verb phrase has a relative clause."""
    object_phrase = predicate.object if isinstance(predicate, VerbPhrase) else None
    return isinstance(object_phrase, NounPhrase) and object_phrase.relative is not None


def with_adverbials(rng: RandomStream, clause: Clause) -> Clause:
    """Returns the clause with adverbials that its verb, tense and negation allow, if it has a verb phrase."""
    predicate = clause.predicate
    if not isinstance(predicate, VerbPhrase):
        return clause
    verb, tense = predicate.verb, clause.tense
    frequency = manner = time = place = None
    time_first = False
    allows_time = tense != "present" or verb.aspect == "activity"
    if tense == "habit":
        if clause.negation or rng.chance(60):
            frequency = rng.choice(adverbials.FREQUENCIES[:2] if clause.negation == "not" else adverbials.FREQUENCIES)
        else:
            time = adverbials.time_phrase(rng, verb, "habit")
            time_first = rng.chance(15)
        if clause.negation == "never":
            frequency = time = None
        tense = "present"
    elif verb.aspect != "state" and clause.negation != "never" and rng.chance(30) and allows_time:
        time = adverbials.time_phrase(rng, verb, tense)
        time_first = rng.chance(25)
    nested = has_relative(predicate)
    if verb.places and not nested and rng.chance(24):
        place = adverbials.likely_place(rng, verb, clause.subject is None or features(clause.subject).human)
    if verb.manners and not nested and not clause.negation and frequency is None and rng.chance(30):
        manner = rng.choice(verb.manners)
    time_first = time_first or nested  # after a relative clause it would modify that clause
    return clause._replace(
        tense=tense, frequency=frequency, manner=manner, place=place, time=time, time_first=time_first
    )


def motion(rng: RandomStream, subject: Nominal | None = None, tense: str = "") -> Clause:
    """Samples a clause about going to a place, coming back, living or staying there."""
    subject = subject or noun_phrases.subject(rng, frames.PEOPLE)
    roll = rng.randbelow(100)
    verb = GO if roll < 45 else RETURN if roll < 55 else COME_BACK if roll < 70 else LIVE if roll < 90 else STAY
    tense = tense or adverbials.verb_tense(rng, verb)
    region = rng.chance(35)
    noun = rng.choice(frames.REGIONS if region else frames.GOALS)
    if verb in (LIVE, STAY):
        if verb is LIVE and not region:
            noun = rng.choice(frames.HOMES)
        place = adverbials.place_phrase(rng, noun) if not region else PlacePhrase(noun.location or TO, NounPhrase(noun))
        place = place or PlacePhrase(lexicon.PREPOSITIONS["near"], NounPhrase(noun))
    elif verb is COME_BACK:
        place = PlacePhrase(noun.origin or FROM, NounPhrase(noun))
    else:
        if verb is RETURN and not region:
            noun = rng.choice(TOWN)
        place = PlacePhrase(noun.destination or TO, NounPhrase(noun))
    negation = ("not" if rng.chance(20) else "") if verb.aspect == "state" else sample_negation(rng)
    clause = Clause(determiners.make_definite(subject) if negation else subject, VerbPhrase(verb), tense, negation)
    clause = with_adverbials(rng, clause)
    if clause.time is not None and clause.time.kinds:  # nobody goes to Rome every morning
        clause = clause._replace(time=None, time_first=False, frequency=rng.choice(adverbials.FREQUENCIES[:2]))
    if region and clause.time is not None and clause.tense in ("past", "future"):
        clause = clause._replace(time=rng.choice(adverbials.TIMES["long " + clause.tense]))
    return clause._replace(place=place)


TOWN = tuple(noun for noun in frames.GOALS if noun.destination is not None and noun.destination.french_lemma == "à")


def control(rng: RandomStream) -> Clause:
    """Samples "Marie wants to read the book", "you must not close the window"."""
    verb = rng.choice(CONTROL)
    frame = rng.choice(frames.INTENDED)
    negation = "not" if verb.base not in ("hope", "love", "promise") and rng.chance(22) else ""
    subject = noun_phrases.subject(rng, frame)
    subject = determiners.make_definite(subject) if negation else subject
    tense = adverbials.verb_tense(rng, verb)
    if tense == "habit":
        tense = "past"
    if verb.base == "must" and negation:
        tense = "present"
    liked = verb.base in frames.GENERIC  # "likes to drink the tea"; "some tea" would not be a habit
    predicate = verb_phrase(rng, frame, subject, definite=bool(negation) or liked)
    place = time = None
    if frame.verb.places and not has_relative(predicate) and rng.chance(15):
        place = adverbials.likely_place(rng, frame.verb, True)
    if tense != "present" and verb.aspect != "state" and rng.chance(20):
        time = adverbials.time_phrase(rng, verb, tense)
    return Clause(subject, ControlPredicate(verb, predicate), tense, negation, place=place, time=time, time_first=True)


CONTROL = tuple(lexicon.CONTROL.values())


def transfer(rng: RandomStream) -> Clause:
    """Samples "the teacher gave a book to the girl", "Paul showed me the photo"."""
    rng.relative_percent = 0  # it would separate the verb from its recipient
    frame = rng.choice(frames.DITRANSITIVE)
    negation = sample_negation(rng)
    subject = noun_phrases.subject(rng, frame)
    subject = determiners.make_definite(subject) if negation else subject
    predicate = verb_phrase(rng, frame, subject, definite=bool(negation))
    recipient: NounPhrase | Pronoun = noun_phrases.person(rng, features(subject).human)
    if isinstance(subject, NounPhrase) and recipient.noun is subject.noun:
        recipient = NounPhrase(noun_phrases.different_noun(rng, frames.NAMES, subject))
    if rng.chance(30):
        me = rng.choice(noun_phrases.OBJECT_PRONOUNS[:3])
        if not _same_group(me, subject):
            recipient = me
    tense = adverbials.verb_tense(rng, frame.verb)
    if tense == "habit" and frame.verb.base == "sell":
        tense = "past"
    if tense == "habit" and predicate.object is not None:
        predicate = predicate._replace(object=determiners.make_habitual(predicate.object, frame.verb))
    clause = with_adverbials(rng, Clause(subject, predicate._replace(recipient=recipient), tense, negation))
    return clause._replace(place=None, manner=None)


def _same_group(pronoun: Pronoun, subject: Nominal) -> bool:
    """Returns whether a pronoun includes the subject ("I ... us"), which would be reflexive or odd."""
    persons = {pronoun.features.person, features(subject).person}
    return len(persons) == 1 or persons == {0, 3}


def addressed(rng: RandomStream) -> Clause:
    """Samples an action on "me", "us", "you" or "them" without antecedent: "Marie m'a invité"."""
    frame = rng.choice(frames.DIRECT_PEOPLE)
    subject = noun_phrases.subject(rng, frame)
    pronoun = rng.choice(noun_phrases.OBJECT_PRONOUNS)
    while _same_group(pronoun, subject):
        pronoun = rng.choice(noun_phrases.OBJECT_PRONOUNS[:3])
    negation = sample_negation(rng)
    subject = determiners.make_definite(subject) if negation else subject
    tense = adverbials.verb_tense(rng, frame.verb)
    return with_adverbials(rng, Clause(subject, VerbPhrase(frame.verb, pronoun), tense, negation))


def report(rng: RandomStream) -> Clause:
    """Samples "Marie thinks that the film is long", "Paul said that the soup was cold"."""
    verb = rng.choice(REPORT)
    subject = noun_phrases.subject(rng, frames.PEOPLE)
    tense = "present" if verb.base in ("hope", "believe") or rng.chance(60) else "past"
    if verb.base == "hope":
        inner = action(rng, rng.choice(frames.INTENDED), tense="future")
    elif tense == "present" and rng.chance(50):
        inner = action(rng, tense="past" if rng.chance(60) else "future")
    else:
        inner = description(rng)._replace(tense=tense, frequency=None)
    if inner.time_first:
        inner = inner._replace(time_first=False, time=None)
    negation = "not" if verb.base in ("say", "know") and rng.chance(12) else ""
    return Clause(subject, ReportPredicate(verb, inner), tense, negation)


REPORT = tuple(lexicon.REPORT.values())
