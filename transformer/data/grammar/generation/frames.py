"""Indices over the lexicon: who can do what to what, and which noun can take part in which action."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from transformer.data.grammar import lexicon
from transformer.data.grammar.lexicon.entries import Noun, Verb


class Frame(NamedTuple):
    """A verb with nouns that may be its subject and its object; `people` if any person may be the subject."""

    verb: Verb
    subjects: tuple[Noun, ...]
    objects: tuple[Noun, ...]
    people: bool


def frames_of(verbs: Iterable[Verb]) -> tuple[Frame, ...]:
    """Returns the frames of verbs, one by one."""
    return tuple(frame(verb, subjects, objects) for verb in verbs for subjects, objects in verb.frames if subjects)


def frame(verb: Verb, subjects: tuple[Noun, ...], objects: tuple[Noun, ...]) -> Frame:
    """Returns a frame; names and pronouns may be its subject if most grown persons may."""
    return Frame(verb, subjects, objects, sum("grown" in noun.kinds for noun in subjects) > 30)


# What one does not do on purpose, and so neither wants nor tries to do.
UNINTENDED = frozenset(
    "lose break fall disappear fail hesitate cough snore forget resemble recognize hear receive tear cry hate succeed "
    "like love prefer be need want own have know belong stop understand arrive hope believe think see enter".split()
)

# "aime les pommes" = "likes apples": their plural and mass objects mean the kind, and English has no article.
GENERIC = frozenset({"like", "love", "hate", "prefer"})

INTRANSITIVE = frames_of(lexicon.INTRANSITIVE.values())
TRANSITIVE = frames_of(lexicon.TRANSITIVE.values())
DITRANSITIVE = frames_of(lexicon.DITRANSITIVE.values())
ALL = INTRANSITIVE + TRANSITIVE

# The acts that anybody may intend.
INTENDED = tuple(f for f in ALL if f.people and f.verb.base not in UNINTENDED and f.verb.aspect in "aep")
ACTIVITIES = tuple(f for f in ALL if f.people and f.verb.aspect == "a")
INTRANSITIVE_EVENTS = tuple(f for f in INTRANSITIVE if f.people and f.verb.lemma in ("arrive", "leave", "wake up"))

# What is no habit.
ONCE = frozenset(
    "steal discover tear destroy arrest build hire bite break solve rent win describe disappear escape fail succeed "
    "throw choose move sign accept catch learn decorate recognize receive enter".split()
)

# What one does not foresee.
ACCIDENTS = frozenset("fall lose break disappear forget fail tear".split())

# Where somebody coughs is not asked.
UNASKED_PLACE = frozenset("cough snore cry smile laugh bark shout jump pray fall".split())

# Transitive verbs whose object stands without a preposition in French: it can be asked for, and be relativised.
DIRECT = tuple(f for f in TRANSITIVE if not f.verb.french_preposition and not f.verb.extra)
DIRECT_THINGS = tuple(f for f in DIRECT if f.people and not any(noun.human for noun in f.objects))
DIRECT_PEOPLE = tuple(f for f in DIRECT if f.people and sum(noun.human for noun in f.objects) > 30)

ADULTS = lexicon.nouns_of("grown kin youth")

# Any person, for predicates that are no action.
PEOPLE = frame(lexicon.INTRANSITIVE["work"], ADULTS, ())


def _index(frames: Iterable[Frame], objects: bool) -> dict[Noun, tuple[Frame, ...]]:
    index: dict[Noun, list[Frame]] = {}
    for f in frames:
        for noun in f.objects if objects else f.subjects:
            index.setdefault(noun, []).append(f)
    return {noun: tuple(found) for noun, found in index.items()}


# noun → the frames it can be the subject of, and the object of, in a relative clause
SUBJECT_OF = _index((f for f in ALL if f.verb.aspect in "aep" or f.verb.base in ("own", "like", "hate")), False)
OBJECT_OF = _index((f for f in DIRECT if f.people and f.verb.lemma not in ("win", "ask", "have")), True)

PLACES = lexicon.nouns_of("place road street square field")
WHERE = tuple(noun for noun in PLACES if noun.where is not None)
GOALS = tuple(noun for noun in PLACES if noun.goal is not None)
REGIONS = tuple(lexicon.REGIONS.values())
NAMES = tuple(lexicon.NAMES.values())
PERSONS = lexicon.nouns_of("person")
STRANGERS = tuple(noun for noun in PERSONS if "kin" not in noun.kinds)
KIN = lexicon.nouns_of("kin")
BUILDINGS = lexicon.nouns_of("house castle school church library museum hotel restaurant farm factory hospital")
PORTABLE = lexicon.nouns_of("portable")
SURFACES = lexicon.nouns_of("surface")
HOLDERS = lexicon.nouns_of("holds")
FURNITURE = lexicon.nouns_of("furniture")
VEHICLES = lexicon.nouns_of("vehicle")
ANIMALS = lexicon.nouns_of("animal")
PROFESSIONS = lexicon.nouns_of("pro")
DESCRIBED = tuple(noun for noun in lexicon.NOUNS.values() if noun.predicates)


def _places() -> dict[Noun, tuple[Frame, ...]]:
    """Returns place → what people do there."""
    living = frame(lexicon.MOTION["live"], ADULTS, ())
    index: dict[Noun, list[Frame]] = {}
    for f in ALL:
        for noun in f.verb.places if f.people and f.verb.aspect == "a" else ():
            index.setdefault(noun, []).append(f)
    for noun in lexicon.nouns_of("house castle village farm island"):
        index.setdefault(noun, []).extend([living] * (1 + len(index.get(noun, ())) // 2))
    return {noun: tuple(found) for noun, found in index.items()}


PLACE_OF = _places()
