"""Drawing clauses about somebody doing something, going somewhere, giving, wanting or saying something."""

from __future__ import annotations

from transformer.data.grammar import lexicon
from transformer.data.grammar.generation import adverbials, determiners, frames, noun_phrases
from transformer.data.grammar.generation.frames import Frame
from transformer.data.grammar.generation.states import description
from transformer.data.grammar.nodes import (
    Act,
    Clause,
    Control,
    Couple,
    Nominal,
    NounPhrase,
    Place,
    Pronoun,
    Report,
    features,
)
from transformer.data.grammar.sampling import Stream

TO, FROM = lexicon.PREPOSITIONS["to"], lexicon.PREPOSITIONS["from"]
GO, COME_BACK, LIVE, STAY, RETURN = (lexicon.MOTION[v] for v in ("go", "come back", "live", "stay", "return"))


def negation(rng: Stream) -> str:
    """Draws "not", "never" or nothing."""
    roll = rng.below(100)
    return "not" if roll < 20 else "never" if roll < 24 else ""


def act(rng: Stream, frame: Frame, who: Nominal, definite: bool = False, besides: Nominal | None = None) -> Act:
    """Draws an action of a frame by a subject.

    Args:
        rng: the stream of choices.
        frame: the verb, with its possible objects.
        who: the subject, which is not the object too.
        definite: keep out vague determiners.
        besides: another noun phrase whose noun is not the object.
    """
    if not frame.objects:
        return Act(frame.verb)
    noun = noun_phrases.other_noun(rng, frame.objects, besides or who)
    if isinstance(who, NounPhrase) and noun is who.noun:
        noun = noun_phrases.other_noun(rng, frame.objects, who)
    thing = noun_phrases.direct_object(rng, frame.verb, noun, features(who))
    return Act(frame.verb, determiners.definite(thing) if definite else thing)


def action(rng: Stream, frame: Frame | None = None, who: Nominal | None = None, tense: str = "") -> Clause:
    """Draws a clause about somebody doing something, with negation and adverbials."""
    frame = frame or rng.choice(frames.TRANSITIVE if rng.chance(78) else frames.INTRANSITIVE)
    who = who or noun_phrases.subject(rng, frame)
    tense = tense or adverbials.verb_tense(rng, frame.verb)
    no = negation(rng)
    if no:
        no = "not" if frame.verb.aspect == "s" else no
        who = determiners.definite(who)
    if tense == "habit":
        rng.nesting = 0
    done = act(rng, frame, who)
    if isinstance(done.object, NounPhrase) and (no or tense == "habit") and done.object.determiner not in ("a", "some"):
        done = done._replace(object=determiners.definite(done.object))
    if no and isinstance(done.object, NounPhrase) and done.object.determiner == "a":
        done = done._replace(object=determiners.none(done.object))
    if tense == "habit" and done.object is not None and not frame.verb.french_preposition:
        done = done._replace(object=determiners.habitual(done.object, frame.verb))
    if no and isinstance(done.object, NounPhrase) and done.object.relative:
        done = done._replace(
            object=determiners.definite(done.object)
        )  # "no book that ..." would ask for the subjunctive
    if not no and isinstance(done.object, NounPhrase) and rng.chance(6):
        done = _coordinated_object(rng, frame, done, done.object)
    return adorned(rng, Clause(who, done, tense, no))


def _coordinated_object(rng: Stream, frame: Frame, done: Act, first: NounPhrase) -> Act:
    """Returns the action with a second object, of the same determiner."""
    if len(frame.objects) < 4 or first.relative or first.adjective or first.noun.name or "kin" in first.noun.kinds:
        return done
    if frame.verb.french_preposition or first.possessor or first.complement:
        return done
    second = noun_phrases.other_noun(rng, frame.objects, first)
    if second.mass != first.noun.mass or second is first.noun or second.name or "kin" in second.kinds:
        return done
    joint = "or" if rng.chance(15) else "and"
    return Act(done.verb, Couple(first, NounPhrase(second, first.determiner, first.plural), joint))


def adorned(rng: Stream, clause: Clause) -> Clause:
    """Returns the clause with adverbials that its verb, tense and negation allow; only an action is adorned."""
    done = clause.predicate
    if not isinstance(done, Act):
        return clause
    verb, tense = done.verb, clause.tense
    frequency = manner = time = place = None
    time_first = False
    if tense == "habit":
        if clause.negation or rng.chance(60):
            frequency = rng.choice(adverbials.FREQUENCIES[:2] if clause.negation == "not" else adverbials.FREQUENCIES)
        else:
            time = adverbials.time(rng, verb, "habit")
            time_first = rng.chance(15)
        if clause.negation == "never":
            frequency = time = None
        tense = "present"
    elif (
        verb.aspect != "s"
        and clause.negation != "never"
        and rng.chance(30)
        and (tense != "present" or verb.aspect == "a")
    ):
        time = adverbials.time(rng, verb, tense)
        time_first = rng.chance(25)
    nested = isinstance(done.object, NounPhrase) and done.object.relative is not None
    if verb.places and not nested and rng.chance(24):
        place = adverbials.place(rng, verb, clause.subject is None or features(clause.subject).human)
    if verb.manners and not nested and not clause.negation and frequency is None and rng.chance(30):
        manner = rng.choice(verb.manners)
    time_first = time_first or nested  # after a relative clause it would belong to that
    return clause._replace(
        tense=tense, frequency=frequency, manner=manner, place=place, time=time, time_first=time_first
    )


def motion(rng: Stream, who: Nominal | None = None, tense: str = "") -> Clause:
    """Draws going to a place, coming back from it, living or staying there."""
    who = who or noun_phrases.subject(rng, frames.PEOPLE)
    roll = rng.below(100)
    verb = GO if roll < 45 else RETURN if roll < 55 else COME_BACK if roll < 70 else LIVE if roll < 90 else STAY
    tense = tense or adverbials.verb_tense(rng, verb)
    region = rng.chance(35)
    noun = rng.choice(frames.REGIONS if region else frames.GOALS)
    if verb in (LIVE, STAY):
        if verb is LIVE and not region:
            noun = rng.choice(HOMES)
        spot = adverbials.where(rng, noun) if not region else Place(noun.where or TO, NounPhrase(noun))
        spot = spot or Place(lexicon.PREPOSITIONS["near"], NounPhrase(noun))
    elif verb is COME_BACK:
        spot = Place(noun.origin or FROM, NounPhrase(noun))
    else:
        if verb is RETURN and not region:
            noun = rng.choice(TOWN)
        spot = Place(noun.goal or TO, NounPhrase(noun))
    no = "not" if verb.aspect == "s" and rng.chance(20) else negation(rng) if verb.aspect != "s" else ""
    clause = Clause(determiners.definite(who) if no else who, Act(verb), tense, no)
    clause = adorned(rng, clause)
    if clause.time is not None and clause.time.kinds:  # "every morning" is too often for Rome
        clause = clause._replace(time=None, time_first=False, frequency=rng.choice(adverbials.FREQUENCIES[:2]))
    if region and clause.time is not None and clause.tense in ("past", "future"):
        clause = clause._replace(time=rng.choice(adverbials.TIMES["long " + clause.tense]))
    return clause._replace(place=spot)


TOWN = tuple(noun for noun in frames.GOALS if noun.goal is not None and noun.goal.french_lemma == "à")
HOMES = lexicon.nouns_of("house castle village farm island")


def control(rng: Stream) -> Clause:
    """Draws "Marie wants to read the book", "you must not close the window"."""
    verb = rng.choice(CONTROL)
    frame = rng.choice(frames.INTENDED)
    no = "not" if verb.base not in ("hope", "love", "promise") and rng.chance(22) else ""
    who = noun_phrases.subject(rng, frame)
    who = determiners.definite(who) if no else who
    tense = adverbials.verb_tense(rng, verb)
    if tense == "habit":
        tense = "past"
    if verb.base == "must" and no:
        tense = "present"
    liked = verb.base in frames.GENERIC  # "likes to drink the tea"; with "some" it would be no habit
    done = act(rng, frame, who, definite=bool(no) or liked)
    place = (
        adverbials.place(rng, frame.verb, True)
        if frame.verb.places and _plain_object(done) and rng.chance(15)
        else None
    )
    time = adverbials.time(rng, verb, tense) if tense != "present" and verb.aspect != "s" and rng.chance(20) else None
    return Clause(who, Control(verb, done), tense, no, place=place, time=time, time_first=True)


CONTROL = tuple(lexicon.CONTROL.values())


def _plain_object(done: Act) -> bool:
    return not (isinstance(done.object, NounPhrase) and done.object.relative)


def transfer(rng: Stream) -> Clause:
    """Draws "the teacher gave a book to the girl", "Paul showed me the photo"."""
    rng.nesting = 0  # between the verb and its recipient
    frame = rng.choice(frames.DITRANSITIVE)
    no = negation(rng)
    who = noun_phrases.subject(rng, frame)
    who = determiners.definite(who) if no else who
    done = act(rng, frame, who, definite=bool(no))
    recipient: NounPhrase | Pronoun = noun_phrases.person(rng, features(who).human)
    if isinstance(who, NounPhrase) and recipient.noun is who.noun:
        recipient = NounPhrase(noun_phrases.other_noun(rng, frames.NAMES, who))
    if rng.chance(30):
        me = rng.choice(noun_phrases.OBJECT_PRONOUNS[:3])
        if not _same_group(me, who):
            recipient = me
    tense = adverbials.verb_tense(rng, frame.verb)
    if tense == "habit" and frame.verb.base == "sell":
        tense = "past"
    if tense == "habit" and done.object is not None:
        done = done._replace(object=determiners.habitual(done.object, frame.verb))
    clause = adorned(rng, Clause(who, done._replace(recipient=recipient), tense, no))
    return clause._replace(place=None, manner=None)


def _same_group(one: Pronoun, two: Nominal) -> bool:
    """Tells whether a pronoun includes the subject ("I ... us"), which would be reflexive or odd."""
    slots = {one.features.slot, features(two).slot}
    return len(slots) == 1 or slots == {0, 3}


def addressed(rng: Stream) -> Clause:
    """Draws an action on "me", "us", "you" or "them" without antecedent: "Marie m'a invité"."""
    frame = rng.choice(frames.DIRECT_PEOPLE)
    who = noun_phrases.subject(rng, frame)
    pronoun = rng.choice(noun_phrases.OBJECT_PRONOUNS)
    while _same_group(pronoun, who):
        pronoun = rng.choice(noun_phrases.OBJECT_PRONOUNS[:3])
    no = negation(rng)
    who = determiners.definite(who) if no else who
    return adorned(rng, Clause(who, Act(frame.verb, pronoun), adverbials.verb_tense(rng, frame.verb), no))


def report(rng: Stream) -> Clause:
    """Draws "Marie thinks that the film is long", "Paul said that the soup was cold"."""
    verb = rng.choice(REPORT)
    who = noun_phrases.subject(rng, frames.PEOPLE)
    tense = "present" if verb.base in ("hope", "believe") or rng.chance(60) else "past"
    if verb.base == "hope":
        inner = action(rng, rng.choice(frames.INTENDED), tense="future")
    elif tense == "present" and rng.chance(50):
        inner = action(rng, tense="past" if rng.chance(60) else "future")
    else:
        inner = description(rng)._replace(tense=tense, frequency=None)
    if inner.time_first:
        inner = inner._replace(time_first=False, time=None)
    return Clause(who, Report(verb, inner), tense, "not" if verb.base in ("say", "know") and rng.chance(12) else "")


REPORT = tuple(lexicon.REPORT.values())
