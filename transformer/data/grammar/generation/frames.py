"""Indices over the lexicon: verb frames, and the frames in which a noun may occur."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from transformer.data.grammar import lexicon
from transformer.data.grammar.lexicon.entries import Noun, Verb


class Frame(NamedTuple):
    """A verb with its possible subjects and objects; `people` if any person may be the subject."""

    verb: Verb
    subjects: tuple[Noun, ...]
    objects: tuple[Noun, ...]
    people: bool


def frames_of(verbs: Iterable[Verb]) -> tuple[Frame, ...]:
    """Returns all frames of the verbs."""
    return tuple(make_frame(verb, subjects, objects) for verb in verbs for subjects, objects in verb.frames if subjects)


def make_frame(verb: Verb, subjects: tuple[Noun, ...], objects: tuple[Noun, ...]) -> Frame:
    """Returns a frame; any person may be its subject if more than 30 grown persons may."""
    return Frame(verb, subjects, objects, sum("grown" in noun.kinds for noun in subjects) > 30)


# Verbs without intention, which nobody wants or tries to do.
UNINTENDED = frozenset(
    "lose break fall disappear fail hesitate cough snore forget resemble recognize hear receive tear cry hate succeed "
    "like love prefer be need want own have know belong stop understand arrive hope believe think see enter".split()
)

# "aime les pommes" = "likes apples": plural and mass objects are generic, and English has no article.
GENERIC = frozenset({"like", "love", "hate", "prefer"})

INTRANSITIVE = frames_of(lexicon.INTRANSITIVE.values())
TRANSITIVE = frames_of(lexicon.TRANSITIVE.values())
DITRANSITIVE = frames_of(lexicon.DITRANSITIVE.values())
ALL = INTRANSITIVE + TRANSITIVE

# Actions that any person may intend.
INTENDED = tuple(f for f in ALL if f.people and f.verb.base not in UNINTENDED and f.verb.aspect != "state")
ACTIVITIES = tuple(f for f in ALL if f.people and f.verb.aspect == "activity")
INTRANSITIVE_EVENTS = tuple(f for f in INTRANSITIVE if f.people and f.verb.lemma in ("arrive", "leave", "wake up"))

# Verbs without habitual use.
ONCE = frozenset(
    "steal discover tear destroy arrest build hire bite break solve rent win describe disappear escape fail succeed "
    "throw choose move sign accept catch learn decorate recognize receive enter".split()
)

# Verbs without a future.
ACCIDENTS = frozenset("fall lose break disappear forget fail tear".split())

# Verbs without a question for the place.
UNASKED_PLACE = frozenset("cough snore cry smile laugh bark shout jump pray fall".split())

# Transitive verbs with a direct object in French, which questions and relative clauses can refer to.
DIRECT = tuple(f for f in TRANSITIVE if not f.verb.french_preposition and not f.verb.bare_noun)
DIRECT_THINGS = tuple(f for f in DIRECT if f.people and not any(noun.human for noun in f.objects))
DIRECT_PEOPLE = tuple(f for f in DIRECT if f.people and sum(noun.human for noun in f.objects) > 30)

ADULTS = lexicon.select_nouns("grown kin youth")

# Any person, for predicates other than actions.
PEOPLE = make_frame(lexicon.INTRANSITIVE["work"], ADULTS, ())


def _index(uses: Iterable[tuple[Frame, tuple[Noun, ...]]]) -> dict[Noun, list[Frame]]:
    """Returns noun → frames from pairs of a frame and nouns."""
    index: dict[Noun, list[Frame]] = {}
    for frame, nouns in uses:
        for noun in nouns:
            index.setdefault(noun, []).append(frame)
    return index


# noun → frames whose subject or object it may be in a relative clause
SUBJECT_OF = _index((f, f.subjects) for f in ALL if f.verb.aspect != "state" or f.verb.base in ("own", "like", "hate"))
OBJECT_OF = _index((f, f.objects) for f in DIRECT if f.people and f.verb.lemma not in ("win", "ask", "have"))

PLACES = lexicon.select_nouns("place road street square field")
WHERE = tuple(noun for noun in PLACES if noun.location is not None)
GOALS = tuple(noun for noun in PLACES if noun.destination is not None)
REGIONS = tuple(lexicon.REGIONS.values())
NAMES = tuple(lexicon.NAMES.values())
PERSONS = lexicon.select_nouns("person")
STRANGERS = tuple(noun for noun in PERSONS if "kin" not in noun.kinds)
KIN = lexicon.select_nouns("kin")
BUILDINGS = lexicon.select_nouns("house castle school church library museum hotel restaurant farm factory hospital")
HOMES = lexicon.select_nouns("house castle village farm island")
PORTABLE = lexicon.select_nouns("portable")
SURFACES = lexicon.select_nouns("surface")
HOLDERS = lexicon.select_nouns("holds")
FURNITURE = lexicon.select_nouns("furniture")
VEHICLES = lexicon.select_nouns("vehicle")
ANIMALS = lexicon.select_nouns("animal")
PROFESSIONS = lexicon.select_nouns("pro")
DESCRIBED = tuple(noun for noun in lexicon.NOUNS.values() if noun.predicates)


# place → frames of what people do there
PLACE_OF = _index((f, f.verb.places) for f in ACTIVITIES)
for _home in HOMES:
    _living = make_frame(lexicon.MOTION["live"], ADULTS, ())
    PLACE_OF.setdefault(_home, []).extend([_living] * (1 + len(PLACE_OF.get(_home, ())) // 2))
