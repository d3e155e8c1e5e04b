"""Drawing clauses about what somebody or something is, and where."""

from __future__ import annotations

from transformer.data.grammar import lexicon
from transformer.data.grammar.agreement import HE, Features
from transformer.data.grammar.generation import adverbials, determiners, frames, noun_phrases
from transformer.data.grammar.lexicon.entries import Adjective, Noun
from transformer.data.grammar.nodes import (
    Be,
    Clause,
    Comparison,
    Existence,
    Located,
    Nominal,
    NounPhrase,
    Occupation,
    Place,
    Pronoun,
    features,
)
from transformer.data.grammar.sampling import Stream

UNGRADED = frozenset(
    "broken rotten raw empty round wooden Italian French English Spanish delicious magnificent wild wet ripe "
    "modern red blue green yellow white black gray brown".split()
) | {"on vacation", "right", "wrong"}
# What one can become by tomorrow.
TRANSIENT = frozenset(
    "happy sad tired sick busy worried jealous proud nervous dirty clean wet dry empty ripe hot cold afraid hungry "
    "thirsty sleepy late angry quiet expensive polite patient".split()
) | {"on vacation"}


def _fit(rng: Stream, noun: Noun) -> Be:
    """Draws a property that fits a noun."""
    fitting = rng.choice(noun.predicates)
    graded = fitting.lemma not in UNGRADED
    return Be(fitting, ("", "", "", "very", "very", "too")[rng.below(6)] if graded else "")


def description(rng: Stream) -> Clause:
    """Draws "the soup is hot", "Marie was very tired", "my brother is a doctor"."""
    roll = rng.below(100)
    if roll < 14:
        return occupation(rng)
    tense = ("present", "present", "present", "past", "past", "future")[rng.below(6)]
    no = "not" if rng.chance(22) else ""
    frequency = None
    if roll < 36:
        who: Nominal = (
            NounPhrase(rng.choice(frames.NAMES)) if rng.chance(60) else rng.choice(noun_phrases.SUBJECT_PRONOUNS)
        )
        be = _fit(rng, frames.NAMES[0])
    else:
        noun = rng.choice(frames.DESCRIBED)
        who = noun_phrases.noun_phrase(rng, noun, determiners.SUBJECT_DETERMINERS)
        if who.determiner in ("a", "some", "every") or no:
            who = determiners.definite(who)
        who = who._replace(adjective=None)  # "the expensive lemon is expensive"
        be = _fit(rng, noun)
    if tense == "future":
        if be.property.lemma in TRANSIENT:
            be = be._replace(degree="" if be.degree == "too" else be.degree)
        else:
            tense = "present"
    if tense == "present" and not no and features(who).human and rng.chance(15):
        frequency = rng.choice(adverbials.FREQUENCIES)
    return Clause(who, be, tense, no, frequency)


def occupation(rng: Stream) -> Clause:
    """Draws "Marie is a nurse"; the profession has the gender of the subject."""
    roll = rng.below(100)
    if roll < 60:
        who: Nominal = NounPhrase(rng.choice(frames.NAMES))
    elif roll < 80:
        who = NounPhrase(rng.choice(frames.KIN), rng.choice(("my", "our", "your")))
    else:
        who = rng.choice(noun_phrases.SUBJECT_PRONOUNS)
    slot, gender_number, _ = features(who)
    if slot not in (0, HE):
        name = rng.choice(frames.NAMES)
        who, gender_number = NounPhrase(name), name.feminine
    job = rng.choice([noun for noun in frames.PROFESSIONS if noun.feminine == gender_number])
    tense = ("present", "present", "past", "future")[rng.below(4)]
    return Clause(who, Occupation(job), tense, "not" if rng.chance(18) else "")


def location(rng: Stream) -> Clause:
    """Draws "the keys are on the table", "there is a pen in the bag", "the children are at the beach"."""
    rng.nesting //= 2
    tense = ("present", "present", "past")[rng.below(3)]
    no = "not" if rng.chance(18) else ""
    roll = rng.below(100)
    prepositions = lexicon.PREPOSITIONS
    if roll < 45:
        who: Nominal = noun_phrases.noun_phrase(rng, rng.choice(frames.PORTABLE), determiners.SUBJECT_DETERMINERS)
        kind = rng.below(4)
        if kind == 0:
            spot = Place(prepositions["in"], _plain(rng, noun_phrases.other_noun(rng, frames.HOLDERS, who)))
        elif kind == 3:
            name = rng.choice(("under", "behind", "next to"))
            spot = Place(prepositions[name], _plain(rng, rng.choice(frames.FURNITURE)))
        else:
            spot = Place(prepositions["on"], _plain(rng, rng.choice(frames.SURFACES)))
    elif roll < 60:
        who = noun_phrases.noun_phrase(rng, rng.choice(frames.VEHICLES), determiners.SUBJECT_DETERMINERS)
        name = rng.choice(("in front of", "behind", "near"))
        spot = Place(prepositions[name], _plain(rng, rng.choice(frames.BUILDINGS)))
    elif roll < 75:
        who = noun_phrases.noun_phrase(rng, rng.choice(frames.ANIMALS), determiners.SUBJECT_DETERMINERS)
        noun = rng.choice(OUTDOORS)
        spot = adverbials.where(rng, noun) or Place(prepositions["near"], NounPhrase(noun))
    else:
        who = noun_phrases.subject(rng, frames.PEOPLE)
        spot = _somewhere(rng)
    if (
        isinstance(who, NounPhrase)
        and who.relative is None
        and who.determiner in determiners.VAGUE - {"every"}
        and not who.noun.human
    ):
        if no:
            who = determiners.none(who._replace(determiner="a"))
        return Clause(DUMMY, Existence(who, spot), tense, no)
    return Clause(determiners.definite(who), Located(spot), tense, no)


DUMMY = Pronoun(Features(HE, 0, False))


OUTDOORS = lexicon.nouns_of("garden forest park courtyard field beach island")


def _plain(rng: Stream, noun: Noun) -> NounPhrase:
    adjective = rng.choice(noun.adjectives) if noun.adjectives and rng.chance(25) else None
    return NounPhrase(noun, rng.choice(("the", "the", "the", "this", "my", "your")), adjective=adjective)


def _somewhere(rng: Stream) -> Place:
    if rng.chance(25):
        noun = rng.choice(frames.REGIONS)
        return Place(noun.where or lexicon.PREPOSITIONS["in"], NounPhrase(noun))
    noun = rng.choice(frames.WHERE)
    return adverbials.where(rng, noun, True) or Place(lexicon.PREPOSITIONS["near"], NounPhrase(noun))


def comparison(rng: Stream) -> Clause | None:
    """Draws "my car is faster than Paul's car", "the doctor is younger than Marie"."""
    tense = ("present", "present", "past")[rng.below(3)]
    no = "not" if rng.chance(15) else ""
    if rng.chance(40):
        noun = rng.choice(OWNED)
        shared = noun.predicates
        mine = rng.choice(("my", "our", "your"))
        who, standard = NounPhrase(noun, mine), NounPhrase(noun, possessor=noun_phrases.possessor(rng))
        if rng.chance(50):
            who, standard = standard, who
    else:
        group = rng.choice(GROUPS)
        first = rng.choice(group)
        second = noun_phrases.other_noun(rng, group, NounPhrase(first))
        if first is second:
            return None
        shared = tuple(a for a in first.predicates if a in second.predicates)
        choices = (("the", False), ("the", False), ("the", True), ("this", False))
        who = noun_phrases.noun_phrase(rng, first, choices, bare=True)
        standard = noun_phrases.noun_phrase(rng, second, choices, bare=True)
        who, standard = determiners.definite(who), determiners.definite(standard)
    qualities = [a for a in shared if isinstance(a, Adjective) and a.lemma not in INCOMPARABLE]
    if not qualities:
        return None
    return Clause(who, Comparison(rng.choice(qualities), standard), tense, no)


# "better" and "worse" are irregular in both languages and left out; the size of an animal is no news.
INCOMPARABLE = UNGRADED | frozenset("good bad busy small big sick sweet salty hot cold dirty clean wild pretty".split())
GROUPS = (
    frames.NAMES,
    *(
        tuple(noun for noun in lexicon.nouns_of(kind) if noun.predicates)
        for kind in "kin pro grown pet livestock fruit dish drink readable clothing".split()
    ),
)
OWNED = lexicon.nouns_of(
    "car bicycle house bedroom kitchen garden dog cat horse coat bag suitcase computer phone garage village"
)
