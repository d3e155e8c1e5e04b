"""Samples sentences with a reason (because, so, although, if, when), whose pronoun has one possible antecedent."""

from __future__ import annotations

from typing import NamedTuple

from transformer.data.grammar.agreement import THEY
from transformer.data.grammar.generation import determiners, frames, noun_phrases
from transformer.data.grammar.generation.frames import Frame
from transformer.data.grammar.generation.states import TRANSIENT, UNGRADED
from transformer.data.grammar.lexicon.entries import Noun, Property
from transformer.data.grammar.lexicon.plausibility import REASONS
from transformer.data.grammar.nodes import (
    Clause,
    Coordination,
    CopularPredicate,
    Derivation,
    Nominal,
    NounPhrase,
    Subordination,
    VerbPhrase,
    features,
    pronoun_for,
)
from transformer.data.grammar.sampling import RandomStream


class Reason(NamedTuple):
    """A reason for or against an action: a property of the subject or object, which all `nouns` can have."""

    frame: Frame
    negated: bool
    of_object: bool
    property: Property
    excessive: bool
    nouns: tuple[Noun, ...]


def _reason_groups() -> tuple[tuple[tuple[Reason, ...], ...], ...]:
    """Returns rule → role (subject or object) → reasons, so that each rule is sampled equally often."""
    groups: list[tuple[tuple[Reason, ...], ...]] = []
    for rule in REASONS:
        roles: list[tuple[Reason, ...]] = []
        for of_object, properties in ((False, rule.of_subject), (True, rule.of_object)):
            reasons = []
            for frame in frames.ALL:
                if frame.verb.lemma != rule.verb:
                    continue
                if rule.objects:
                    objects = tuple(noun for noun in frame.objects if not rule.objects.isdisjoint(noun.kinds))
                    frame = frame._replace(objects=objects)
                    if not objects:
                        continue
                for prop, excessive in properties:
                    nouns = frame.objects if of_object else frame.subjects
                    fitting = tuple(noun for noun in nouns if prop in noun.predicates)
                    if fitting:
                        reasons.append(Reason(frame, rule.negated, of_object, prop, excessive, fitting))
            if reasons:
                roles.append(tuple(reasons))
        groups.append(tuple(roles))
    return tuple(groups)


REASON_GROUPS = _reason_groups()


class Scene(NamedTuple):
    """An action with its reason, before it is arranged in a sentence."""

    reason: Reason
    subject: Nominal
    object_phrase: NounPhrase | None

    @property
    def target(self) -> Nominal:
        """The noun phrase that the reason is about."""
        return self.object_phrase if self.reason.of_object and self.object_phrase is not None else self.subject


def sample_scene(rng: RandomStream) -> Scene | None:
    """Samples an action and a reason, or None if the antecedent of the reason would be ambiguous."""
    reason = rng.choice(rng.choice(rng.choice(REASON_GROUPS)))
    frame = reason.frame
    if reason.of_object:
        subject = noun_phrases.subject(rng, frame)
        noun = rng.choice(reason.nouns)
        if isinstance(subject, NounPhrase) and subject.noun is noun:
            return None
        object_phrase = noun_phrases.direct_object(rng, frame.verb, noun, subject)
    else:
        subject = _fitting_subject(rng, reason)
        object_phrase = None
        if frame.objects:
            object_phrase = noun_phrases.other_object(rng, frame.verb, frame.objects, subject)
    if object_phrase is not None:
        # The reason replaces the adjective, and a negated action has a definite object.
        object_phrase = object_phrase._replace(adjective=None)
        object_phrase = determiners.with_the(object_phrase) if reason.negated else object_phrase
    if reason.negated:
        subject = determiners.make_definite(subject)
    scene = Scene(reason, subject, object_phrase)
    return None if is_ambiguous(scene) else scene


def _fitting_subject(rng: RandomStream, reason: Reason) -> Nominal:
    if reason.frame.people and any(reason.property in name.predicates for name in frames.NAMES[:1]) and rng.chance(40):
        if rng.chance(30):
            return rng.choice(noun_phrases.SUBJECT_PRONOUNS)
        return NounPhrase(rng.choice(frames.NAMES))
    subject = noun_phrases.noun_phrase(rng, rng.choice(reason.nouns), determiners.SUBJECT_DETERMINERS)
    return subject._replace(adjective=None)


def is_ambiguous(scene: Scene) -> bool:
    """Returns whether the reason could be about the other participant, in either language."""
    if scene.object_phrase is None:
        return False
    other = scene.subject if scene.reason.of_object else scene.object_phrase
    if isinstance(other, NounPhrase) and scene.reason.property not in other.noun.predicates:
        return False
    target, participant = features(scene.target), features(other)
    if target.person != participant.person:
        return False
    french_differs = target.gender_number != participant.gender_number
    english_differs = target.person != THEY and (target.human != participant.human or (target.human and french_differs))
    return not (french_differs and english_differs)


def _be(rng: RandomStream, reason: Reason, plain: bool = False) -> CopularPredicate:
    if reason.property.lemma in UNGRADED:
        return CopularPredicate(reason.property)
    if reason.excessive and not plain:
        return CopularPredicate(reason.property, "too" if reason.of_object or rng.chance(60) else "")
    return CopularPredicate(reason.property, "very" if rng.chance(30) else "")


def tenses(rng: RandomStream, reason: Reason) -> tuple[str, str]:
    """Returns the tense of the action and that of the reason."""
    aspect = reason.frame.verb.aspect
    roll = rng.randbelow(100)
    if aspect == "state":
        return ("present", "present") if roll < 65 else ("past", "past")
    if roll < 58:
        return "past", "past"
    if roll < 78 or aspect == "event":
        return "future", "present"
    return "present", "present"


def main_clause(scene: Scene, tense: str) -> Clause:
    """Returns the action of a scene."""
    """Returns the action of a scene."""
    predicate = VerbPhrase(scene.reason.frame.verb, scene.object_phrase)
    return Clause(scene.subject, predicate, tense, "not" if scene.reason.negated else "")


def _main_with_pronoun(scene: Scene, tense: str) -> Clause | None:
    """Returns the action with a pronoun for the participant that the reason has named."""
    verb = scene.reason.frame.verb
    if not scene.reason.of_object:
        return main_clause(scene._replace(subject=pronoun_for(scene.subject)), tense)
    if verb.french_preposition or verb.bare_noun:
        return None
    predicate = VerbPhrase(verb, pronoun_for(scene.target))
    return Clause(determiners.make_definite(scene.subject), predicate, tense, "not" if scene.reason.negated else "")


def _named(scene: Scene) -> Nominal:
    """Returns the subject of a sentence about a property, with a definite determiner ("some bread was dry" is odd)."""
    target = scene.target
    if not isinstance(target, NounPhrase):
        return target
    if target.determiner == "own" and scene.reason.of_object:
        return target._replace(determiner="my")
    return determiners.with_the(target, determiners.VAGUE | {"generic"})


def _definite(scene: Scene) -> Scene:
    """Returns the scene with definite phrases, except for an object with "a" or "some"."""
    object_phrase = scene.object_phrase
    if object_phrase is not None:
        object_phrase = determiners.with_the(object_phrase, determiners.VAGUE - {"a", "some"})
    return scene._replace(subject=determiners.make_definite(scene.subject), object_phrase=object_phrase)


def _passing(scene: Scene) -> bool:
    """Returns whether the property is temporary."""
    return scene.reason.property.lemma in TRANSIENT


def because(rng: RandomStream) -> Derivation | None:
    """Samples "The chicken did not cross the road because it was too wide"."""
    scene = sample_scene(rng)
    if scene is None:
        return None
    main_tense, tense = tenses(rng, scene.reason)
    subordinate = Clause(pronoun_for(scene.target), _be(rng, scene.reason), tense)
    return Subordination(main_clause(scene, main_tense), "because", subordinate)


def so(rng: RandomStream) -> Derivation | None:
    """Samples "The book was too long, so Marie did not read it"."""
    scene = sample_scene(rng)
    if scene is None:
        return None
    main_tense, tense = tenses(rng, scene.reason)
    main = _main_with_pronoun(scene, main_tense)
    if main is None:
        return None
    return Coordination(Clause(_named(scene), _be(rng, scene.reason), tense), "so", main)


def if_clause(rng: RandomStream) -> Derivation | None:
    """Samples "If the book is too long, Marie will not read it", in either order."""
    scene = sample_scene(rng)
    if scene is None or scene.reason.frame.verb.aspect == "state" or not (scene.reason.of_object or _passing(scene)):
        return None
    fronted = rng.chance(50)
    main = _main_with_pronoun(scene, "future") if fronted else main_clause(scene, "future")
    if main is None:
        return None
    subject = _named(scene) if fronted else pronoun_for(scene.target)
    return Subordination(main, "if", Clause(subject, _be(rng, scene.reason), "condition"), fronted)


def although(rng: RandomStream) -> Derivation | None:
    """Samples "Marie read the book although it was very long", the contrary of what the reason suggests."""
    scene = sample_scene(rng)
    if scene is None or scene.reason.frame.verb.aspect == "state":
        return None
    main_tense, tense = tenses(rng, scene.reason)
    if main_tense == "future":
        return None
    if not scene.reason.negated:  # the main clause negates the action
        scene = _definite(scene)
    contrary = scene.reason._replace(negated=not scene.reason.negated)
    main = main_clause(scene._replace(reason=contrary), main_tense)
    subordinate = Clause(pronoun_for(scene.target), _be(rng, scene.reason, plain=True), f"concession, {tense}")
    return Subordination(main, "although", subordinate)


def habit(rng: RandomStream) -> Derivation | None:
    """Samples "When the baby is hungry, it cries", with the property of the subject as the reason."""
    scene = sample_scene(rng)
    if scene is None or scene.reason.of_object or scene.reason.frame.verb.aspect == "state" or not _passing(scene):
        return None
    scene = _definite(scene)
    be = _be(rng, scene.reason, plain=True)
    fronted = rng.chance(60)
    pronoun = pronoun_for(scene.subject)
    main = main_clause(scene._replace(subject=pronoun) if fronted else scene, "habit")
    return Subordination(main, "when", Clause(scene.subject if fronted else pronoun, be, "present"), fronted)
