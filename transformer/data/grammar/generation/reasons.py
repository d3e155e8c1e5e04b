"""Drawing sentences about why: because, so, although, if, when; a pronoun is about the one whom the reason fits."""

from __future__ import annotations

from typing import NamedTuple

from transformer.data.grammar import lexicon
from transformer.data.grammar.agreement import THEY
from transformer.data.grammar.generation import determiners, frames, noun_phrases
from transformer.data.grammar.generation.frames import Frame
from transformer.data.grammar.generation.states import TRANSIENT, UNGRADED
from transformer.data.grammar.lexicon.entries import Noun, Property
from transformer.data.grammar.lexicon.plausibility import REASONS
from transformer.data.grammar.nodes import (
    Act,
    Be,
    Clause,
    Joined,
    Nominal,
    NounPhrase,
    Sentence,
    Subordinated,
    features,
    pronoun_for,
)
from transformer.data.grammar.sampling import Stream


class Reason(NamedTuple):
    """Why one does something or does not: a property of the subject or of the object, which all of `nouns` can have."""

    frame: Frame
    negated: bool
    of_object: bool
    property: Property
    too: bool
    nouns: tuple[Noun, ...]


def _properties(text: str) -> list[tuple[Property, bool]]:
    found: list[tuple[Property, bool]] = []
    for word in text.split():
        lemma = word.rstrip("*").replace("_", " ")
        # "cold" and "hot" are states of persons and qualities of things
        for table in (lexicon.STATES, lexicon.ADJECTIVES):
            if lemma in table:
                found.append((table[lemma], word.endswith("*")))
        if not any(lemma in table for table in (lexicon.STATES, lexicon.ADJECTIVES)):
            raise ValueError(f"the reason {lemma!r} is no adjective or state")
    return found


def _read_reasons() -> tuple[tuple[tuple[Reason, ...], ...], ...]:
    """Returns the reasons of each verb, apart for subject and object, so that verbs are drawn evenly."""
    groups: list[tuple[tuple[Reason, ...], ...]] = []
    for line in REASONS.strip().splitlines():
        lemma, polarity, text = (part.strip() for part in (line + " ").split(" : "))
        lemma, _, wanted = lemma.rstrip("]").partition(" [")
        kinds = lexicon.expand(wanted)
        of_subject, _, of_object = text.partition(">")
        roles: list[tuple[Reason, ...]] = []
        for is_object, words in ((False, of_subject), (True, of_object)):
            reasons = []
            for frame in frames.ALL:
                if frame.verb.lemma != lemma:
                    continue
                if wanted:
                    things = tuple(noun for noun in frame.objects if not kinds.isdisjoint(noun.kinds))
                    frame = frame._replace(objects=things)
                    if not things:
                        continue
                for prop, too in _properties(words):
                    nouns = frame.objects if is_object else frame.subjects
                    fitting = tuple(noun for noun in nouns if prop in noun.predicates)
                    if fitting:
                        reasons.append(Reason(frame, polarity == "not", is_object, prop, too, fitting))
            if reasons:
                roles.append(tuple(reasons))
        groups.append(tuple(roles))
    return tuple(groups)


REASON_GROUPS = _read_reasons()


class Scene(NamedTuple):
    """An action with the reason for it, as noun phrases still to be arranged in a sentence."""

    reason: Reason
    who: Nominal
    thing: NounPhrase | None

    @property
    def target(self) -> Nominal:
        """The noun phrase that the reason is about."""
        return self.thing if self.reason.of_object and self.thing is not None else self.who


def scene(rng: Stream) -> Scene | None:
    """Draws an action and a reason, or None where a reader could not tell whom the reason is about."""
    reason = rng.choice(rng.choice(rng.choice(REASON_GROUPS)))
    frame = reason.frame
    if reason.of_object:
        who = noun_phrases.subject(rng, frame)
        noun = rng.choice(reason.nouns)
        if isinstance(who, NounPhrase) and who.noun is noun:
            return None
        thing = noun_phrases.direct_object(rng, frame.verb, noun, features(who))
    else:
        who = _fitting_subject(rng, reason)
        thing = None
        if frame.objects:
            noun = noun_phrases.other_noun(rng, frame.objects, who)
            thing = noun_phrases.direct_object(rng, frame.verb, noun, features(who))
    if thing is not None:
        # The reason says what the adjective would; and what is not done is done to something known.
        thing = thing._replace(adjective=None)
        if reason.negated and thing.determiner in determiners.VAGUE:
            thing = thing._replace(determiner="the")
    if reason.negated:
        who = determiners.definite(who)
    found = Scene(reason, who, thing)
    return None if _ambiguous(found) else found


def _fitting_subject(rng: Stream, reason: Reason) -> Nominal:
    if reason.frame.people and any(reason.property in name.predicates for name in frames.NAMES[:1]) and rng.chance(40):
        if rng.chance(30):
            return rng.choice(noun_phrases.SUBJECT_PRONOUNS)
        return NounPhrase(rng.choice(frames.NAMES))
    who = noun_phrases.noun_phrase(rng, rng.choice(reason.nouns), determiners.SUBJECT_DETERMINERS)
    return who._replace(adjective=None)


def _ambiguous(found: Scene) -> bool:
    """Tells whether the reason could be about the other participant, for a reader of either language."""
    if found.thing is None:
        return False
    other = found.who if found.reason.of_object else found.thing
    if isinstance(other, NounPhrase) and found.reason.property not in other.noun.predicates:
        return False
    one, two = features(found.target), features(other)
    if one.slot != two.slot:
        return False
    french_differs = one.gender_number != two.gender_number
    english_differs = one.slot != THEY and (one.human != two.human or (one.human and french_differs))
    return not (french_differs and english_differs)


def _be(rng: Stream, reason: Reason, plain: bool = False) -> Be:
    if reason.property.lemma in UNGRADED:
        return Be(reason.property)
    if reason.too and not plain:
        return Be(reason.property, "too" if reason.of_object or rng.chance(60) else "")
    return Be(reason.property, "very" if rng.chance(30) else "")


def _tenses(rng: Stream, reason: Reason) -> tuple[str, str]:
    """Returns the tense of the action and that of the reason."""
    aspect = reason.frame.verb.aspect
    roll = rng.below(100)
    if aspect == "s":
        return ("present", "present") if roll < 65 else ("past", "past")
    if roll < 58:
        return "past", "past"
    if roll < 78 or aspect == "e":
        return "future", "present"
    return "present", "present"


def because(rng: Stream) -> Sentence | None:
    """Draws "The chicken did not cross the road because it was too wide"."""
    found = scene(rng)
    if found is None:
        return None
    main_tense, tense = _tenses(rng, found.reason)
    main = _main(found, main_tense, found.reason.negated)
    return Subordinated(main, "because", Clause(pronoun_for(found.target), _be(rng, found.reason), tense))


def _main(found: Scene, tense: str, negated: bool) -> Clause:
    return Clause(found.who, Act(found.reason.frame.verb, found.thing), tense, "not" if negated else "")


def _main_with_pronoun(found: Scene, tense: str, negated: bool) -> Clause | None:
    """Returns the action with a pronoun where the reason has already named the participant."""
    verb = found.reason.frame.verb
    if not found.reason.of_object:
        return _main(found._replace(who=pronoun_for(found.who)), tense, negated)
    if verb.french_preposition or verb.extra:
        return None
    who = found.who
    who = determiners.definite(who)
    return Clause(who, Act(verb, pronoun_for(found.target)), tense, "not" if negated else "")


def _named(found: Scene) -> Nominal:
    """Returns the phrase that opens a sentence about a property; "some bread was dry" would be odd."""
    target = found.target
    if isinstance(target, NounPhrase) and target.determiner in determiners.VAGUE | {"generic"}:
        return target._replace(determiner="the")
    if isinstance(target, NounPhrase) and target.determiner == "own" and not found.reason.of_object:
        return target
    if isinstance(target, NounPhrase) and target.determiner == "own":
        return target._replace(determiner="my")
    return target


def so(rng: Stream) -> Sentence | None:
    """Draws "The book was too long, so Marie did not read it"."""
    found = scene(rng)
    if found is None:
        return None
    main_tense, tense = _tenses(rng, found.reason)
    main = _main_with_pronoun(found, main_tense, found.reason.negated)
    if main is None:
        return None
    return Joined(Clause(_named(found), _be(rng, found.reason), tense), "so", main)


def if_clause(rng: Stream) -> Sentence | None:
    """Draws "If the book is too long, Marie will not read it", in either order."""
    found = scene(rng)
    if found is None or found.reason.frame.verb.aspect == "s" or not (found.reason.of_object or _passing(found)):
        return None
    negated = found.reason.negated
    if rng.chance(50):
        main = _main_with_pronoun(found, "future", negated)
        if main is None:
            return None
        return Subordinated(main, "if", Clause(_named(found), _be(rng, found.reason), "condition"), fronted=True)
    main = _main(found, "future", negated)
    return Subordinated(main, "if", Clause(pronoun_for(found.target), _be(rng, found.reason), "condition"))


def _passing(found: Scene) -> bool:
    """Tells whether one can be so today and otherwise tomorrow."""
    return found.reason.property.lemma in TRANSIENT


def although(rng: Stream) -> Sentence | None:
    """Draws "Marie read the book although it was very long": what one would expect, denied."""
    found = scene(rng)
    if found is None or found.reason.frame.verb.aspect == "s":
        return None
    main_tense, tense = _tenses(rng, found.reason)
    if main_tense == "future":
        return None
    if not found.reason.negated:  # what follows denies the action
        thing = found.thing
        if thing is not None and thing.determiner in determiners.VAGUE - {"a", "some"}:
            thing = thing._replace(determiner="the")
        found = found._replace(who=determiners.definite(found.who), thing=thing)
    main = _main(found, main_tense, not found.reason.negated)
    subordinate = Clause(pronoun_for(found.target), _be(rng, found.reason, plain=True), f"concession, {tense}")
    return Subordinated(main, "although", subordinate)


def habit(rng: Stream) -> Sentence | None:
    """Draws "When the baby is hungry, it cries"; the subject is the one who is something."""
    found = scene(rng)
    if found is None or found.reason.of_object or found.reason.frame.verb.aspect == "s" or not _passing(found):
        return None
    negated = found.reason.negated
    thing = found.thing
    if thing is not None and thing.determiner in determiners.VAGUE - {"a", "some"}:
        thing = thing._replace(determiner="the")
    found = found._replace(who=determiners.definite(found.who), thing=thing)
    be = _be(rng, found.reason, plain=True)
    if rng.chance(60):
        main = _main(found._replace(who=pronoun_for(found.who)), "habit", negated)
        return Subordinated(main, "when", Clause(found.who, be, "present"), fronted=True)
    return Subordinated(_main(found, "habit", negated), "when", Clause(pronoun_for(found.who), be, "present"))
