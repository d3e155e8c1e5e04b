"""Drawing noun phrases: subjects, objects, persons, and their adjectives, possessors and relative clauses."""

from __future__ import annotations

from transformer.data.grammar.agreement import HE, ME, THEY, WE, YOU, Features
from transformer.data.grammar.generation import adverbials, frames
from transformer.data.grammar.generation.determiners import SUBJECT_DETERMINERS, Choices, determiner, for_object
from transformer.data.grammar.generation.frames import Frame
from transformer.data.grammar.lexicon.entries import Noun, Verb
from transformer.data.grammar.lexicon.plausibility import TELLING
from transformer.data.grammar.nodes import Act, Clause, Couple, Nominal, NounPhrase, Pronoun, Relative, features
from transformer.data.grammar.sampling import Stream

TELLING_VERBS = {
    adjective: frozenset(verbs.replace("_", " ") for verbs in text.split())
    for adjective, text in (line.strip().split(" : ") for line in TELLING.strip().splitlines())
}
GENERIC_KINDS = frozenset("food animal movie book song bloom".split())
# One does not buy or borrow what is one's own.
NOT_OWN_VERBS = frozenset("buy choose steal order discover borrow rent want meet catch count win".split())

YOU_ALL = Pronoun(Features(YOU, 2, True))
SUBJECT_PRONOUNS = (
    *(Pronoun(Features(ME, 0, True)),) * 3,
    *(Pronoun(Features(HE, 0, True)),) * 3,
    *(Pronoun(Features(HE, 1, True)),) * 3,
    *(Pronoun(Features(WE, 2, True)),) * 2,
    *(YOU_ALL,) * 2,
    *(Pronoun(Features(THEY, 2, True)),) * 2,
)
OBJECT_PRONOUNS = (
    Pronoun(Features(ME, 0, True)),
    Pronoun(Features(WE, 2, True)),
    Pronoun(Features(YOU, 2, True)),
    Pronoun(Features(THEY, 2, True)),
)


def possessor(rng: Stream) -> NounPhrase:
    """Draws the owner of something: a name, a relative or anybody."""
    if rng.chance(50):
        return NounPhrase(rng.choice(frames.NAMES))
    if rng.chance(50):
        return NounPhrase(rng.choice(frames.KIN), rng.choice(("my", "our", "your")))
    return NounPhrase(rng.choice(frames.STRANGERS))


def noun_phrase(
    rng: Stream, noun: Noun, choices: Choices, owner: bool = False, bare: bool = False, verb: str = ""
) -> NounPhrase:
    """Draws a noun phrase around a noun.

    Args:
        rng: the stream of choices.
        noun: the noun.
        choices: the determiners to choose from, if the noun does not ask for its own.
        owner: whether "own" has a subject to refer to.
        bare: no adjective, possessor or relative clause.
        verb: the verb it is the object of, which some adjectives do not go with.
    """
    if noun.name:
        return NounPhrase(noun)
    chosen, plural = determiner(rng, noun, choices, owner)
    kinds = noun.kinds
    if bare:
        return NounPhrase(noun, chosen, plural)
    if rng.nesting and "kin" not in kinds and chosen != "own" and rng.chance(rng.nesting):
        found = relative(rng, noun, verb)
        if found is not None:
            return NounPhrase(noun, chosen, plural, relative=found)
    if noun.adjectives and rng.chance(26):
        adjective = rng.choice(noun.adjectives)
        if adjective.lemma not in TELLING_VERBS or (verb and verb in TELLING_VERBS[adjective.lemma]):
            return NounPhrase(noun, chosen, plural, adjective)
    if chosen == "the" and not plural:
        if "own" in kinds and rng.chance(14):
            return NounPhrase(noun, possessor=possessor(rng))
        if "part" in kinds and rng.chance(45):
            return NounPhrase(noun, complement=NounPhrase(rng.choice(frames.BUILDINGS)))
    return NounPhrase(noun, chosen, plural)


def subject(rng: Stream, frame: Frame, pronouns: bool = True) -> Nominal:
    """Draws the subject of an action."""
    if frame.people:
        roll = rng.below(100)
        if roll < 24:
            return NounPhrase(rng.choice(frames.NAMES))
        if pronouns and roll < 42:
            return rng.choice(SUBJECT_PRONOUNS)
        if roll < 47:
            return couple(rng)
    return noun_phrase(rng, rng.choice(frame.subjects), SUBJECT_DETERMINERS, verb=frame.verb.lemma)


def couple(rng: Stream) -> Couple:
    """Draws two persons."""
    first = NounPhrase(rng.choice(frames.NAMES))
    if rng.chance(50):
        second = NounPhrase(rng.choice(frames.NAMES))
        if second != first:
            return Couple(first, second)
    return Couple(first, NounPhrase(rng.choice(frames.KIN), rng.choice(("my", "our", "your"))))


def person(rng: Stream, owner: bool = False) -> NounPhrase:
    """Draws a person: a name, a relative or anybody."""
    roll = rng.below(100)
    if roll < 40:
        return NounPhrase(rng.choice(frames.NAMES))
    if roll < 60:
        return noun_phrase(rng, rng.choice(frames.KIN), SUBJECT_DETERMINERS, owner, bare=True)
    return noun_phrase(rng, rng.choice(frames.ADULTS), (("the", False), ("the", False), ("the", True)), owner)


def direct_object(rng: Stream, verb: Verb, noun: Noun, who: Features) -> NounPhrase:
    """Draws the object of a verb around a noun."""
    owner = who.human and verb.lemma not in NOT_OWN_VERBS
    if noun.lemma in ("dress", "skirt") and not who.gender_number & 1:
        owner = False
    if verb.lemma in frames.GENERIC:
        if noun.mass or "plenty" in noun.kinds or (not GENERIC_KINDS.isdisjoint(noun.kinds) and rng.chance(60)):
            return NounPhrase(noun, "generic", not noun.mass)
        return noun_phrase(rng, noun, (("the", False), ("this", False), ("own", False)), owner)
    if verb.lemma == "play music":
        return NounPhrase(noun)
    return noun_phrase(rng, noun, for_object(verb, noun, who), owner, verb=verb.lemma)


def other_noun(rng: Stream, nouns: tuple[Noun, ...], taken: Nominal) -> Noun:
    """Draws a noun that is not the one of another phrase (nobody helps himself here)."""
    noun = rng.choice(nouns)
    if isinstance(taken, NounPhrase) and taken.noun is noun:
        noun = nouns[(nouns.index(noun) + 1 + rng.below(max(1, len(nouns) - 1))) % len(nouns)]
    return noun


def relative(rng: Stream, noun: Noun, verb: str = "") -> Relative | None:
    """Draws a relative clause for a noun, or None where the lexicon has none to offer.

    The verb of the main clause is not used again ("closed the window that Paul closed").
    """
    nesting, rng.nesting = rng.nesting, rng.nesting // 4
    roll = rng.below(100)
    if noun.where is not None and roll < 50:
        found = _place_relative(rng, noun)
    else:
        found = _object_relative(rng, noun) if roll >= 50 else None
        found = found or _subject_relative(rng, noun)
    rng.nesting = nesting
    rng.relatives += found is not None
    again = found is not None and isinstance(found.clause.predicate, Act) and found.clause.predicate.verb.lemma == verb
    return None if again else found


def _subject_relative(rng: Stream, noun: Noun) -> Relative | None:
    found = frames.SUBJECT_OF.get(noun)
    if found is None:
        return None
    frame = rng.choice(found)
    verb = frame.verb
    tense = rng.choice(RELATIVE_TENSES[verb.aspect])
    act = Act(verb)
    if frame.objects:
        who = Features(HE, noun.feminine, noun.human)
        act = Act(verb, direct_object(rng, verb, other_noun(rng, frame.objects, NounPhrase(noun)), who))
    place = adverbials.place(rng, verb, noun.human) if verb.places and rng.chance(30) else None
    return Relative("subject", Clause(None, act, tense, place=place))


def _object_relative(rng: Stream, noun: Noun) -> Relative | None:
    found = frames.OBJECT_OF.get(noun)
    if found is None:
        return None
    frame = rng.choice(found)
    rng.nesting = 0  # "the king that the lady that she invited followed" is grammar, but nobody says it
    who = subject(rng, frame)
    if isinstance(who, NounPhrase) and who.noun is noun:
        return None
    tense = rng.choice(RELATIVE_TENSES[frame.verb.aspect])
    return Relative("object", Clause(who, Act(frame.verb), tense))


def _place_relative(rng: Stream, noun: Noun) -> Relative | None:
    """Draws "where Marie lives", "where the children were playing"."""
    found = frames.PLACE_OF.get(noun)
    if found is None:
        return None
    frame = rng.choice(found)
    rng.nesting = 0
    who = subject(rng, frame)
    act = Act(frame.verb)
    if frame.objects:
        act = Act(frame.verb, direct_object(rng, frame.verb, other_noun(rng, frame.objects, who), features(who)))
    return Relative("place", Clause(who, act, rng.choice(RELATIVE_TENSES[frame.verb.aspect])))


RELATIVE_TENSES = {
    "a": ("present", "past", "past"),
    "e": ("past",),
    "s": ("present", "past"),
    "p": ("present", "past", "past"),
}
