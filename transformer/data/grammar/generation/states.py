"""Samples clauses about properties, occupations, places and comparisons."""

from __future__ import annotations

from transformer.data.grammar import lexicon
from transformer.data.grammar.agreement import HE, Agreement
from transformer.data.grammar.generation import adverbials, determiners, frames, noun_phrases
from transformer.data.grammar.lexicon.entries import Adjective, Noun
from transformer.data.grammar.nodes import (
    Clause,
    ComparativePredicate,
    CopularPredicate,
    ExistentialPredicate,
    LocativePredicate,
    Nominal,
    NounPhrase,
    OccupationPredicate,
    PlacePhrase,
    Pronoun,
    features,
)
from transformer.data.grammar.sampling import RandomStream

UNGRADED = frozenset(
    "broken rotten raw empty round wooden Italian French English Spanish delicious magnificent wild wet ripe "
    "modern red blue green yellow white black gray brown".split()
) | {"on vacation", "right", "wrong"}
# Temporary properties, which may have a future.
TRANSIENT = frozenset(
    "happy sad tired sick busy worried jealous proud nervous dirty clean wet dry empty ripe hot cold afraid hungry "
    "thirsty sleepy late angry quiet expensive polite patient".split()
) | {"on vacation"}


def _fit(rng: RandomStream, noun: Noun) -> CopularPredicate:
    """Samples a property that fits a noun."""
    fitting = rng.choice(noun.predicates)
    graded = fitting.lemma not in UNGRADED
    return CopularPredicate(fitting, ("", "", "", "very", "very", "too")[rng.randbelow(6)] if graded else "")


def description(rng: RandomStream) -> Clause:
    """Samples "the soup is hot", "Marie was very tired", "my brother is a doctor"."""
    roll = rng.randbelow(100)
    if roll < 14:
        return occupation(rng)
    tense = ("present", "present", "present", "past", "past", "future")[rng.randbelow(6)]
    negation = "not" if rng.chance(22) else ""
    frequency = None
    if roll < 36:
        named = rng.chance(60)
        subject: Nominal = NounPhrase(rng.choice(frames.NAMES)) if named else rng.choice(noun_phrases.SUBJECT_PRONOUNS)
        be = _fit(rng, frames.NAMES[0])
    else:
        noun = rng.choice(frames.DESCRIBED)
        subject = noun_phrases.noun_phrase(rng, noun, determiners.SUBJECT_DETERMINERS)
        if subject.determiner in ("a", "some", "every") or negation:
            subject = determiners.make_definite(subject)
        subject = subject._replace(adjective=None)  # "the expensive lemon is expensive"
        be = _fit(rng, noun)
    if tense == "future":
        if be.property.lemma in TRANSIENT:
            be = be._replace(degree="" if be.degree == "too" else be.degree)
        else:
            tense = "present"
    if tense == "present" and not negation and features(subject).human and rng.chance(15):
        frequency = rng.choice(adverbials.FREQUENCIES)
    return Clause(subject, be, tense, negation, frequency)


def occupation(rng: RandomStream) -> Clause:
    """Samples "Marie is a nurse"; the profession has the gender of the subject."""
    roll = rng.randbelow(100)
    if roll < 60:
        subject: Nominal = NounPhrase(rng.choice(frames.NAMES))
    elif roll < 80:
        subject = NounPhrase(rng.choice(frames.KIN), rng.choice(("my", "our", "your")))
    else:
        subject = rng.choice(noun_phrases.SUBJECT_PRONOUNS)
    slot, gender_number, _ = features(subject)
    if slot not in (0, HE):
        name = rng.choice(frames.NAMES)
        subject, gender_number = NounPhrase(name), name.feminine
    job = rng.choice([noun for noun in frames.PROFESSIONS if noun.feminine == gender_number])
    tense = ("present", "present", "past", "future")[rng.randbelow(4)]
    return Clause(subject, OccupationPredicate(job), tense, "not" if rng.chance(18) else "")


def location(rng: RandomStream) -> Clause:
    """Samples "the keys are on the table", "there is a pen in the bag", "the children are at the beach"."""
    rng.relative_percent //= 2
    tense = ("present", "present", "past")[rng.randbelow(3)]
    negation = "not" if rng.chance(18) else ""
    roll = rng.randbelow(100)
    prepositions = lexicon.PREPOSITIONS
    if roll < 45:
        subject: Nominal = noun_phrases.noun_phrase(rng, rng.choice(frames.PORTABLE), determiners.SUBJECT_DETERMINERS)
        kind = rng.randbelow(4)
        if kind == 0:
            name, noun = "in", noun_phrases.different_noun(rng, frames.HOLDERS, subject)
        elif kind == 3:
            name, noun = rng.choice(("under", "behind", "next to")), rng.choice(frames.FURNITURE)
        else:
            name, noun = "on", rng.choice(frames.SURFACES)
        place = PlacePhrase(prepositions[name], _plain(rng, noun))
    elif roll < 60:
        subject = noun_phrases.noun_phrase(rng, rng.choice(frames.VEHICLES), determiners.SUBJECT_DETERMINERS)
        name = rng.choice(("in front of", "behind", "near"))
        place = PlacePhrase(prepositions[name], _plain(rng, rng.choice(frames.BUILDINGS)))
    elif roll < 75:
        subject = noun_phrases.noun_phrase(rng, rng.choice(frames.ANIMALS), determiners.SUBJECT_DETERMINERS)
        noun = rng.choice(OUTDOORS)
        place = adverbials.place_phrase(rng, noun) or PlacePhrase(prepositions["near"], NounPhrase(noun))
    else:
        subject = noun_phrases.subject(rng, frames.PEOPLE)
        place = _somewhere(rng)
    if (
        isinstance(subject, NounPhrase)
        and subject.relative is None
        and subject.determiner in determiners.VAGUE - {"every"}
        and not subject.noun.human
    ):
        if negation:
            subject = determiners.negated_object(subject._replace(determiner="a"))
        return Clause(DUMMY, ExistentialPredicate(subject, place), tense, negation)
    return Clause(determiners.make_definite(subject), LocativePredicate(place), tense, negation)


DUMMY = Pronoun(Agreement(HE, 0, False))
OUTDOORS = lexicon.select_nouns("garden forest park courtyard field beach island")


def _plain(rng: RandomStream, noun: Noun) -> NounPhrase:
    adjective = rng.choice(noun.adjectives) if noun.adjectives and rng.chance(25) else None
    return NounPhrase(noun, rng.choice(("the", "the", "the", "this", "my", "your")), adjective=adjective)


def _somewhere(rng: RandomStream) -> PlacePhrase:
    if rng.chance(25):
        noun = rng.choice(frames.REGIONS)
        return PlacePhrase(noun.location or lexicon.PREPOSITIONS["in"], NounPhrase(noun))
    noun = rng.choice(frames.WHERE)
    return adverbials.place_phrase(rng, noun, True) or PlacePhrase(lexicon.PREPOSITIONS["near"], NounPhrase(noun))


def comparison(rng: RandomStream) -> Clause | None:
    """Samples "my car is faster than Paul's car", "the doctor is younger than Marie"."""
    tense = ("present", "present", "past")[rng.randbelow(3)]
    negation = "not" if rng.chance(15) else ""
    if rng.chance(40):
        noun = rng.choice(OWNED)
        shared = noun.predicates
        mine = rng.choice(("my", "our", "your"))
        subject, standard = NounPhrase(noun, mine), NounPhrase(noun, possessor=noun_phrases.possessor(rng))
        if rng.chance(50):
            subject, standard = standard, subject
    else:
        group = rng.choice(GROUPS)
        first = rng.choice(group)
        second = noun_phrases.different_noun(rng, group, NounPhrase(first))
        if first is second:
            return None
        shared = tuple(a for a in first.predicates if a in second.predicates)
        choices = (("the", False), ("the", False), ("the", True), ("this", False))
        subject = noun_phrases.noun_phrase(rng, first, choices, bare=True)
        standard = noun_phrases.noun_phrase(rng, second, choices, bare=True)
        subject, standard = determiners.make_definite(subject), determiners.make_definite(standard)
    qualities = [a for a in shared if isinstance(a, Adjective) and a.lemma not in INCOMPARABLE]
    if not qualities:
        return None
    return Clause(subject, ComparativePredicate(rng.choice(qualities), standard), tense, negation)


# "better" and "worse" are irregular in both languages; other comparisons would be odd.
INCOMPARABLE = UNGRADED | frozenset("good bad busy small big sick sweet salty hot cold dirty clean wild pretty".split())
_GROUP_KINDS = "kin pro grown pet livestock fruit dish drink readable clothing".split()
_NOUN_GROUPS = [tuple(n for n in lexicon.select_nouns(kind) if n.predicates) for kind in _GROUP_KINDS]
GROUPS = (frames.NAMES, *_NOUN_GROUPS)
OWNED = lexicon.select_nouns(
    "car bicycle house bedroom kitchen garden dog cat horse coat bag suitcase computer phone garage village"
)
