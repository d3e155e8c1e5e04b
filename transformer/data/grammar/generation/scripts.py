"""Drawing what goes together: what one does next, before, without or in order to do something else."""

from __future__ import annotations

from transformer.data.grammar import lexicon
from transformer.data.grammar.agreement import HE, THEY
from transformer.data.grammar.generation import actions, adverbials, determiners, frames, noun_phrases
from transformer.data.grammar.generation.frames import Frame
from transformer.data.grammar.lexicon.entries import Noun, Verb
from transformer.data.grammar.lexicon.plausibility import FOLLOWS, HEEDLESS, PURPOSES, TOGETHER, WITHOUT
from transformer.data.grammar.nodes import (
    Act,
    Adjunct,
    Clause,
    Couple,
    Joined,
    Nominal,
    NounPhrase,
    Place,
    Pronoun,
    Sentence,
    features,
    pronoun_for,
)
from transformer.data.grammar.sampling import Stream


def _read_follows() -> tuple[tuple[Frame, Verb, bool, tuple[Noun, ...]], ...]:
    """Returns (first action, what follows, whether it is said not to, the objects both can have)."""
    found = []
    for line in FOLLOWS.strip().splitlines():
        first, *rest = (part.strip() for part in line.split(" : "))
        first_frames = [f for f in frames.DIRECT if f.verb.lemma == first and f.people]
        for negated, text in enumerate(rest):
            for lemma in text.replace("look for", "look_for").split():
                verb = lexicon.TRANSITIVE.get(lemma) or lexicon.TRANSITIVE[lemma.replace("_", " ")]
                objects = {noun for subjects, things in verb.frames if len(subjects) > 30 for noun in things}
                for f in first_frames:
                    both = tuple(noun for noun in f.objects if noun in objects)
                    if both:
                        found.append((f, verb, bool(negated), both))
    return tuple(found)


FOLLOW_UPS = _read_follows()


def follow_up(rng: Stream) -> Sentence:
    """Draws "Marie bought a book and she read it", "..., but she did not read it", "..., but Paul did not read it"."""
    first, verb, negated, nouns = rng.choice(FOLLOW_UPS)
    rng.nesting //= 2
    who = noun_phrases.subject(rng, first)
    thing = noun_phrases.direct_object(rng, first.verb, noun_phrases.other_noun(rng, nouns, who), features(who))
    tense = "past" if rng.chance(75) else "future"
    opening = Clause(who, Act(first.verb, thing), tense)
    if rng.chance(20):
        opening = opening._replace(time=adverbials.time(rng, first.verb, tense), time_first=True)
    roll = rng.below(100)
    again: Nominal | None = pronoun_for(who)
    if negated and roll < 40:
        again = NounPhrase(noun_phrases.other_noun(rng, frames.NAMES, who))
    elif not negated and roll < 35 and not isinstance(who, Pronoun) and thing.relative is None:
        again = None
    second = Clause(again, Act(verb, pronoun_for(thing)), tense, "not" if negated else "")
    return Joined(opening, "but" if negated else "and", second)


def _frame(text: str) -> Frame:
    """Returns the frame of "verb > objects" for any grown or young person."""
    lemma, _, objects = (part.strip() for part in text.partition(">"))
    verb = lexicon.INTRANSITIVE.get(lemma) or lexicon.TRANSITIVE[lemma]
    return frames.frame(verb, frames.ADULTS, lexicon.nouns_of(objects))


def _read_purposes() -> tuple[tuple[Noun, Frame], ...]:
    found = []
    for line in PURPOSES.strip().splitlines():
        places, acts = (part.strip() for part in line.split(" : "))
        for item in acts.split(","):
            found += [(lexicon.noun(lemma), _frame(item)) for lemma in places.split()]
    return tuple(pair for pair in found if pair[0].goal is not None)


ERRANDS = _read_purposes()


TO_DO, WITHOUT_DOING, BEFORE_DOING = (lexicon.PREPOSITIONS[p] for p in ("to do", "without doing", "before doing"))


def errand(rng: Stream) -> Clause:
    """Draws "Paul went to the market to buy some bread"."""
    place, frame = rng.choice(ERRANDS)
    who = noun_phrases.subject(rng, frame)
    tense = adverbials.verb_tense(rng, actions.GO)
    clause = actions.adorned(rng, Clause(who, Act(actions.GO), tense, "not" if rng.chance(8) else ""))
    clause = clause._replace(time_first=clause.time is not None)
    thing = None
    if frame.objects:
        thing = noun_phrases.direct_object(rng, frame.verb, rng.choice(frame.objects), features(who))
    return clause._replace(
        place=Place(place.goal or actions.TO, NounPhrase(place)), adjunct=Adjunct(TO_DO, Act(frame.verb, thing))
    )


def shared_subject(rng: Stream) -> Sentence:
    """Draws "Marie opened the window and called her mother", "The children are singing and dancing"."""
    one, two = together(rng)
    rng.nesting = 0  # a verb after a relative clause would seem to belong to it
    both = one.verb.aspect == two.verb.aspect == "a"
    tense = ("past", "past", "future", "future", "present")[rng.below(5 if both else 4)]
    who = noun_phrases.subject(rng, one)
    if isinstance(who, Pronoun) and who.features.slot not in (HE, THEY):
        who = NounPhrase(rng.choice(frames.NAMES))  # French repeats "je"
    done = actions.act(rng, one, who)
    first = Clause(who, done, tense)
    if rng.chance(25):
        first = first._replace(time=adverbials.time(rng, one.verb, tense), time_first=True)
    return Joined(first, "and", Clause(None, actions.act(rng, two, who, besides=done.object), tense))


def _read_together() -> tuple[tuple[Frame, ...], ...]:
    return tuple(tuple(_frame(item) for item in line.split(",")) for line in TOGETHER.strip().splitlines())


TOGETHER_FRAMES = _read_together()


def together(rng: Stream) -> tuple[Frame, Frame]:
    """Draws two actions that go together, in their order."""
    acts = rng.choice(TOGETHER_FRAMES)
    k = rng.below(len(acts) - 1)
    return acts[k], acts[k + 1]


def before(rng: Stream) -> Clause:
    """Draws "Marie washed the shirts before ironing the skirts"."""
    one, two = together(rng)
    while not two.objects:
        one, two = together(rng)
    rng.nesting = 0
    who = noun_phrases.subject(rng, one)
    tense = "past" if rng.chance(65) else "future"
    time = adverbials.time(rng, one.verb, tense) if rng.chance(25) else None
    done = actions.act(rng, one, who)
    adjunct = Adjunct(BEFORE_DOING, actions.act(rng, two, who, besides=done.object))
    return Clause(who, done, tense, time=time, time_first=time is not None, adjunct=adjunct)


def without(rng: Stream) -> Clause:
    """Draws "Paul signed the letter without reading it", "We left without closing the door"."""
    rng.nesting = 0
    tense = "past" if rng.chance(70) else "future"
    if rng.chance(40):
        one, two = rng.choice(HEEDLESS_ACTS)
        who = noun_phrases.subject(rng, one)
        undone = actions.act(rng, two, who, definite=True)
        return Clause(who, actions.act(rng, one, who), tense, adjunct=Adjunct(WITHOUT_DOING, undone))
    first, verb, nouns = rng.choice(OMISSIONS)
    who = noun_phrases.subject(rng, first)
    thing = noun_phrases.direct_object(rng, first.verb, noun_phrases.other_noun(rng, nouns, who), features(who))
    return Clause(who, Act(first.verb, thing), tense, adjunct=Adjunct(WITHOUT_DOING, Act(verb, pronoun_for(thing))))


def _read_omissions() -> tuple[tuple[Frame, Verb, tuple[Noun, ...]], ...]:
    found = []
    for line in WITHOUT.strip().splitlines():
        first, rest = (part.strip() for part in line.split(" : "))
        for f in frames.DIRECT:
            if f.verb.lemma == first and f.people:
                for verb in (lexicon.TRANSITIVE[lemma] for lemma in rest.split()):
                    both = tuple(noun for noun in f.objects if any(noun in things for _, things in verb.frames))
                    if both:
                        found.append((f, verb, both))
    return tuple(found)


OMISSIONS = _read_omissions()
HEEDLESS_ACTS = tuple(
    (_frame(first), _frame(item))
    for first, rest in (line.split(" : ") for line in HEEDLESS.strip().splitlines())
    for item in rest.split(",")
)


def and_then(rng: Stream) -> Sentence:
    """Draws two actions of two people in one tense, joined by "and"."""
    one, two = together(rng)
    who, other = two_subjects(rng, one, two)
    tense = ("past", "future", "present")[rng.below(3 if one.verb.aspect == two.verb.aspect == "a" else 2)]
    first, second = Clause(who, actions.act(rng, one, who), tense), Clause(other, actions.act(rng, two, other), tense)
    return Joined(first, "and too", second)


def two_subjects(rng: Stream, one: Frame, two: Frame) -> tuple[Nominal, Nominal]:
    """Draws two subjects that are not the same and not two third-person pronouns."""
    who, other = noun_phrases.subject(rng, one), noun_phrases.subject(rng, two, pronouns=False)
    if isinstance(who, Pronoun) and who.features.slot in (2, 5):
        who = NounPhrase(rng.choice(frames.NAMES))
    if not _nouns(who).isdisjoint(_nouns(other)):
        taken = _nouns(who)
        other = NounPhrase(rng.choice([name for name in frames.NAMES if name not in taken]))
    return _single_out(who), _single_out(other)


def _single_out(nominal: Nominal) -> Nominal:
    """Returns the subject without "every", which two clauses do not go well with."""
    every = isinstance(nominal, NounPhrase) and nominal.determiner == "every"
    return determiners.definite(nominal) if every else nominal


def _nouns(nominal: Nominal) -> set[Noun]:
    if isinstance(nominal, Couple):
        return {nominal.first.noun, nominal.second.noun}
    return {nominal.noun} if isinstance(nominal, NounPhrase) else set()
