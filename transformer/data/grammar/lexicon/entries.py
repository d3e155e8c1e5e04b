"""The kinds of lexicon entry, each a pair of lemmas with the forms that the rules need.

`weight` is the share of an entry in the content hash that decides the split (see sampling.py); it is 0 for words of the
grammar, such as prepositions and modals. `french_key` and `english_key` are the surface forms that give the entry away.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from transformer.data.grammar.agreement import HE, THEY, Features
from transformer.data.grammar.conjugation import Conjugation


@dataclass(slots=True, eq=False)
class Entry:
    """A concept: one English and one French lemma. Compared and hashed by identity."""

    lemma: str
    french_lemma: str
    kinds: frozenset[str]
    french_key: frozenset[str]
    english_key: frozenset[str]
    weight: int = field(default=0, init=False)


@dataclass(slots=True, eq=False)
class Noun(Entry):
    """A noun, name, city or country; words are tuples because some are more than one ("salle de bains")."""

    english: tuple[str, str]
    french: tuple[str, str]
    feminine: int
    human: bool
    mass: bool
    name: bool
    where: Fixed | None = None  # the preposition of the place one is in
    goal: Fixed | None = None  # ... of the place one goes to
    origin: Fixed | None = None  # ... of the place one comes back from
    article: str = ""  # French article of a country, which English leaves out
    adjectives: tuple[Adjective, ...] = ()
    predicates: tuple[Property, ...] = ()
    features: tuple[Features, Features] = field(init=False)  # singular, plural

    def __post_init__(self) -> None:
        """Works out what agrees with the noun."""
        self.features = (
            Features(HE, self.feminine, self.human),
            Features(THEY, 2 + self.feminine, self.human),
        )


@dataclass(slots=True, eq=False)
class Adjective(Entry):
    """An adjective; `prenominal` is its place in French, `forms` are ordered as in french.py."""

    english: str
    forms: tuple[tuple[str, ...], ...]
    before_vowel: str
    prenominal: bool
    attributive: bool
    predicative: bool


@dataclass(slots=True, eq=False)
class State(Entry):
    """A predicate with a bare noun or a fixed phrase: "avoir faim", "être en colère"."""

    avoir: bool
    french: tuple[str, ...]
    english: tuple[str, ...]


Property = Adjective | State


@dataclass(slots=True, eq=False)
class Fixed(Entry):
    """An uninflected phrase: its words with anchors that count from 1, and how many anchors it takes."""

    french: tuple[tuple[str, int | tuple[int, ...]], ...]
    english: tuple[tuple[str, int | tuple[int, ...]], ...]
    span: int
    linked: bool  # word by word; otherwise all words share one anchor


@dataclass(slots=True, eq=False)
class Verb(Entry):
    """A verb with its frames: pairs of possible subjects and objects."""

    french: Conjugation
    etre: bool  # compound tenses with être
    reflexive: bool
    extra: str  # a bare noun after the French verb: "besoin" of "avoir besoin de"
    french_preposition: str
    base: str
    third: str
    past: str
    participle: str
    particle: tuple[str, ...]
    copular: bool  # the English verb is "be"
    aspect: str
    frames: tuple[tuple[tuple[Noun, ...], tuple[Noun, ...]], ...] = ()
    places: tuple[Noun, ...] = ()
    manners: tuple[Fixed, ...] = ()
