"""The kinds of lexical entry, each a pair of lemmas with the forms that the rules need.

`weight` is the share of an entry in the content hash that decides the split (see sampling.py). It is 0 for function
words, such as prepositions and modals. `french_forms` and `english_forms` are the surface forms that identify the entry
in a text.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from transformer.data.grammar.agreement import HE, THEY, Agreement
from transformer.data.grammar.conjugation import Conjugation


@dataclass(slots=True, eq=False)
class LexicalEntry:
    """A concept: one English and one French lemma. Compared and hashed by identity."""

    lemma: str
    french_lemma: str
    kinds: frozenset[str]
    french_forms: frozenset[str]
    english_forms: frozenset[str]
    weight: int = field(default=0, init=False)


@dataclass(slots=True, eq=False)
class Noun(LexicalEntry):
    """A noun, name, city or country; French and English hold the singular and the plural."""

    english: tuple[str, str]
    french: tuple[str, str]
    feminine: int
    human: bool
    mass: bool
    name: bool
    location: UninflectedPhrase | None = None  # preposition of the place where somebody is
    destination: UninflectedPhrase | None = None  # preposition of the place where somebody goes
    origin: UninflectedPhrase | None = None  # preposition of the place that somebody returns from
    article: str = ""  # French article of a country, which English omits
    adjectives: tuple[Adjective, ...] = ()
    predicates: tuple[Property, ...] = ()
    features: tuple[Agreement, Agreement] = field(init=False)  # singular, plural

    def __post_init__(self) -> None:
        """Computes the agreement features of the noun."""
        self.features = (Agreement(HE, self.feminine, self.human), Agreement(THEY, 2 + self.feminine, self.human))


@dataclass(slots=True, eq=False)
class Adjective(LexicalEntry):
    """An adjective; `prenominal` is its position in French, `forms` has the order of french.py."""

    english: str
    forms: tuple[tuple[str, ...], ...]
    before_vowel: str
    prenominal: bool
    attributive: bool
    predicative: bool
    not_attributive_with: tuple[Noun, ...]  # nouns next to which it has another meaning


@dataclass(slots=True, eq=False)
class StativePhrase(LexicalEntry):
    """A predicate with a bare noun or an invariable phrase: "avoir faim", "être en colère"."""

    with_avoir: bool
    french: tuple[str, ...]
    english: tuple[str, ...]


Property = Adjective | StativePhrase


@dataclass(slots=True, eq=False)
class UninflectedPhrase(LexicalEntry):
    """An uninflected phrase: its words with anchors that count from 1, and the number of its anchors."""

    french: tuple[tuple[str, int | tuple[int, ...]], ...]
    english: tuple[tuple[str, int | tuple[int, ...]], ...]
    num_anchors: int
    linked: bool  # aligned word by word; otherwise all words share one anchor


@dataclass(slots=True, eq=False)
class Verb(LexicalEntry):
    """A verb with its frames: pairs of possible subjects and objects."""

    french: Conjugation
    with_etre: bool  # compound tenses with être
    reflexive: bool
    bare_noun: str  # a bare noun after the French verb: "besoin" of "avoir besoin de"
    french_preposition: str
    base: str
    third_person: str
    past: str
    present_participle: str
    particle: tuple[str, ...]
    copular: bool  # the English verb is "be"
    aspect: str  # a member of reading.ASPECTS
    frames: tuple[tuple[tuple[Noun, ...], tuple[Noun, ...]], ...] = ()
    places: tuple[Noun, ...] = ()
    manners: tuple[UninflectedPhrase, ...] = ()
