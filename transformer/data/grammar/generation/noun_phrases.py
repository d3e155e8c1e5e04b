"""Samples noun phrases: subjects, objects, persons, and their adjectives, possessors and relative clauses."""

from __future__ import annotations

from transformer.data.grammar.agreement import HE, ME, THEY, WE, YOU, Agreement
from transformer.data.grammar.generation import adverbials, frames
from transformer.data.grammar.generation.determiners import (
    SUBJECT_DETERMINERS,
    Choices,
    object_determiners,
    sample_determiner,
)
from transformer.data.grammar.generation.frames import Frame
from transformer.data.grammar.lexicon.entries import Noun, Verb
from transformer.data.grammar.lexicon.plausibility import OBJECT_ADJECTIVES
from transformer.data.grammar.nodes import (
    Clause,
    CoordinatedNounPhrase,
    Nominal,
    NounPhrase,
    Pronoun,
    RelativeClause,
    VerbPhrase,
    features,
)
from transformer.data.grammar.sampling import RandomStream

GENERIC_KINDS = frozenset("food animal movie book song bloom".split())
# Nobody buys or borrows what they own.
NOT_OWN_VERBS = frozenset("buy choose steal order discover borrow rent want meet catch count win".split())

YOU_ALL = Pronoun(Agreement(YOU, 2, True))
SUBJECT_PRONOUNS = (
    *(Pronoun(Agreement(ME, 0, True)),) * 3,
    *(Pronoun(Agreement(HE, 0, True)),) * 3,
    *(Pronoun(Agreement(HE, 1, True)),) * 3,
    *(Pronoun(Agreement(WE, 2, True)),) * 2,
    *(YOU_ALL,) * 2,
    *(Pronoun(Agreement(THEY, 2, True)),) * 2,
)
OBJECT_PRONOUNS = (
    Pronoun(Agreement(ME, 0, True)),
    Pronoun(Agreement(WE, 2, True)),
    Pronoun(Agreement(YOU, 2, True)),
    Pronoun(Agreement(THEY, 2, True)),
)


def possessor(rng: RandomStream) -> NounPhrase:
    """Samples a possessor: a name, a relative or another person."""
    if rng.chance(50):
        return NounPhrase(rng.choice(frames.NAMES))
    if rng.chance(50):
        return NounPhrase(rng.choice(frames.KIN), rng.choice(("my", "our", "your")))
    return NounPhrase(rng.choice(frames.STRANGERS))


def noun_phrase(
    rng: RandomStream, noun: Noun, choices: Choices, owner: bool = False, bare: bool = False, verb: str = ""
) -> NounPhrase:
    """Samples a noun phrase with a given noun.

    Args:
        rng: the random stream.
        noun: the noun.
        choices: the possible determiners, unless the noun is a mass or kinship noun.
        owner: whether "own" has a subject to refer to.
        bare: without adjective, possessor and relative clause.
        verb: lemma of the verb whose object it is, which excludes some adjectives.
    """
    if noun.name:
        return NounPhrase(noun)
    chosen, plural = sample_determiner(rng, noun, choices, owner)
    kinds = noun.kinds
    if bare:
        return NounPhrase(noun, chosen, plural)
    if rng.relative_percent and "kin" not in kinds and chosen != "own" and rng.chance(rng.relative_percent):
        relative = relative_clause(rng, noun, verb)
        if relative is not None:
            return NounPhrase(noun, chosen, plural, relative=relative)
    if noun.adjectives and rng.chance(26):
        adjective = rng.choice(noun.adjectives)
        if adjective.lemma not in OBJECT_ADJECTIVES or verb in OBJECT_ADJECTIVES[adjective.lemma]:
            return NounPhrase(noun, chosen, plural, adjective)
    if chosen == "the" and not plural:
        if "own" in kinds and rng.chance(14):
            return NounPhrase(noun, possessor=possessor(rng))
        if "part" in kinds and rng.chance(45):
            return NounPhrase(noun, complement=NounPhrase(rng.choice(frames.BUILDINGS)))
    return NounPhrase(noun, chosen, plural)


def subject(rng: RandomStream, frame: Frame, pronouns: bool = True) -> Nominal:
    """Samples the subject of an action."""
    if frame.people:
        roll = rng.randbelow(100)
        if roll < 24:
            return NounPhrase(rng.choice(frames.NAMES))
        if pronouns and roll < 42:
            return rng.choice(SUBJECT_PRONOUNS)
        if roll < 47:
            return two_people(rng)
    return noun_phrase(rng, rng.choice(frame.subjects), SUBJECT_DETERMINERS, verb=frame.verb.lemma)


def two_people(rng: RandomStream) -> CoordinatedNounPhrase:
    """Samples two persons."""
    first = NounPhrase(rng.choice(frames.NAMES))
    if rng.chance(50):
        second = NounPhrase(rng.choice(frames.NAMES))
        if second != first:
            return CoordinatedNounPhrase(first, second)
    return CoordinatedNounPhrase(first, NounPhrase(rng.choice(frames.KIN), rng.choice(("my", "our", "your"))))


def person(rng: RandomStream, owner: bool = False) -> NounPhrase:
    """Samples a person: a name, a relative or another person."""
    roll = rng.randbelow(100)
    if roll < 40:
        return NounPhrase(rng.choice(frames.NAMES))
    if roll < 60:
        return noun_phrase(rng, rng.choice(frames.KIN), SUBJECT_DETERMINERS, owner, bare=True)
    return noun_phrase(rng, rng.choice(frames.ADULTS), (("the", False), ("the", False), ("the", True)), owner)


def direct_object(rng: RandomStream, verb: Verb, noun: Noun, subject: Nominal) -> NounPhrase:
    """Samples the object of a verb with a given noun."""
    person, gender_number, human = features(subject)
    owner = human and verb.lemma not in NOT_OWN_VERBS
    if noun.lemma in ("dress", "skirt") and not gender_number & 1:
        owner = False
    if verb.lemma in frames.GENERIC:
        if noun.mass or "plenty" in noun.kinds or (not GENERIC_KINDS.isdisjoint(noun.kinds) and rng.chance(60)):
            return NounPhrase(noun, "generic", not noun.mass)
        return noun_phrase(rng, noun, (("the", False), ("this", False), ("own", False)), owner)
    if verb.lemma == "play music":
        return NounPhrase(noun)
    return noun_phrase(rng, noun, object_determiners(verb, noun, person), owner, verb=verb.lemma)


def other_object(rng: RandomStream, verb: Verb, nouns: tuple[Noun, ...], subject: Nominal) -> NounPhrase:
    """Samples the object of a verb with one of the nouns, which differs from that of the subject."""
    return direct_object(rng, verb, different_noun(rng, nouns, subject), subject)


def different_noun(rng: RandomStream, nouns: tuple[Noun, ...], taken: Nominal) -> Noun:
    """Samples a noun that differs from that of another phrase, because reflexive objects do not occur."""
    noun = rng.choice(nouns)
    if isinstance(taken, NounPhrase) and taken.noun is noun:
        noun = nouns[(nouns.index(noun) + 1 + rng.randbelow(max(1, len(nouns) - 1))) % len(nouns)]
    return noun


def relative_clause(rng: RandomStream, noun: Noun, verb: str = "") -> RelativeClause | None:
    """Samples a relative clause for a noun, or None if the lexicon has no frame for it.

    The verb differs from that of the main clause (not "closed the window that Paul closed").
    """
    relative_percent, rng.relative_percent = rng.relative_percent, rng.relative_percent // 4
    roll = rng.randbelow(100)
    if noun.location is not None and roll < 50:
        relative = _place_relative(rng, noun)
    else:
        relative = _object_relative(rng, noun) if roll >= 50 else None
        relative = relative or _subject_relative(rng, noun)
    rng.relative_percent = relative_percent
    rng.relative_clauses += relative is not None
    predicate = relative.clause.predicate if relative else None
    return None if isinstance(predicate, VerbPhrase) and predicate.verb.lemma == verb else relative


def _subject_relative(rng: RandomStream, noun: Noun) -> RelativeClause | None:
    possible = frames.SUBJECT_OF.get(noun)
    if possible is None:
        return None
    frame = rng.choice(possible)
    verb = frame.verb
    tense = rng.choice(RELATIVE_TENSES[verb.aspect])
    object_phrase = other_object(rng, verb, frame.objects, NounPhrase(noun)) if frame.objects else None
    place = adverbials.likely_place(rng, verb, noun.human) if verb.places and rng.chance(30) else None
    return RelativeClause("subject", Clause(None, VerbPhrase(verb, object_phrase), tense, place=place))


def _object_relative(rng: RandomStream, noun: Noun) -> RelativeClause | None:
    possible = frames.OBJECT_OF.get(noun)
    if possible is None:
        return None
    frame = rng.choice(possible)
    rng.relative_percent = 0  # "the king that the lady that she invited followed" is grammatical but unnatural
    subject_phrase = subject(rng, frame)
    if isinstance(subject_phrase, NounPhrase) and subject_phrase.noun is noun:
        return None
    tense = rng.choice(RELATIVE_TENSES[frame.verb.aspect])
    return RelativeClause("object", Clause(subject_phrase, VerbPhrase(frame.verb), tense))


def _place_relative(rng: RandomStream, noun: Noun) -> RelativeClause | None:
    """Samples "where Marie lives", "where the children were playing"."""
    possible = frames.PLACE_OF.get(noun)
    if possible is None:
        return None
    frame = rng.choice(possible)
    rng.relative_percent = 0
    subject_phrase = subject(rng, frame)
    verb = frame.verb
    object_phrase = other_object(rng, verb, frame.objects, subject_phrase) if frame.objects else None
    predicate = VerbPhrase(verb, object_phrase)
    return RelativeClause("place", Clause(subject_phrase, predicate, rng.choice(RELATIVE_TENSES[verb.aspect])))


RELATIVE_TENSES = {
    "activity": ("present", "past", "past"),
    "event": ("past",),
    "state": ("present", "past"),
    "perception": ("present", "past", "past"),
}
