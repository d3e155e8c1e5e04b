"""Derivations: the language-independent trees of sentences.

A derivation is a tree of these tuples over lexical entries. It holds everything that both languages share (who did
what, when, how many) and nothing that only one of them has. `sentences.realise` converts it to a pair of aligned texts.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

from transformer.data.grammar.agreement import THEY, Agreement
from transformer.data.grammar.lexicon.entries import Adjective, Noun, Property, UninflectedPhrase, Verb


class NounPhrase(NamedTuple):
    """A noun with its determiner (a key of phrases.DETERMINERS) and modifiers; names ignore the determiner."""

    noun: Noun
    determiner: str = "the"
    plural: bool = False
    adjective: Adjective | None = None
    possessor: NounPhrase | None = None  # "Marie's book"; replaces the determiner
    complement: NounPhrase | None = None  # "the door of the house"
    relative: RelativeClause | None = None


class CoordinatedNounPhrase(NamedTuple):
    """Two coordinated noun phrases, which are plural: "Marie and Paul"."""

    first: NounPhrase
    second: NounPhrase
    conjunction: str = "and"


class Pronoun(NamedTuple):
    """A personal pronoun; `bound` if its antecedent is in the same sentence."""

    features: Agreement
    bound: bool = False


Nominal = NounPhrase | CoordinatedNounPhrase | Pronoun


class RelativeClause(NamedTuple):
    """A relative clause; `role` is the missing part of the clause: "subject", "object" or "place"."""

    role: str
    clause: Clause


class PlacePhrase(NamedTuple):
    """A preposition and the noun phrase after it."""

    preposition: UninflectedPhrase
    nominal: NounPhrase


class VerbPhrase(NamedTuple):
    """A verb with its objects."""

    verb: Verb
    object: Nominal | None = None
    recipient: NounPhrase | Pronoun | None = None


class CopularPredicate(NamedTuple):
    """être or avoir with an adjective or stative phrase; `degree` is a key of lexicon.DEGREES or ""."""

    property: Property
    degree: str = ""


class OccupationPredicate(NamedTuple):
    """être with a profession: "Marie est médecin"."""

    noun: Noun


class LocativePredicate(NamedTuple):
    """être with a place."""

    place: PlacePhrase


class ExistentialPredicate(NamedTuple):
    """A noun phrase that exists in a place ("il y a"); the subject of the clause is the dummy pronoun."""

    nominal: NounPhrase
    place: PlacePhrase


class ComparativePredicate(NamedTuple):
    """être plus ... que."""

    adjective: Adjective
    standard: NounPhrase


class ControlPredicate(NamedTuple):
    """A verb with an infinitive: "veut lire le livre"."""

    verb: Verb
    act: VerbPhrase


class ReportPredicate(NamedTuple):
    """A verb with a that-clause: "pense que ..."."""

    verb: Verb
    clause: Clause


# A predicate without a clause in it.
SimplePredicate = (
    VerbPhrase
    | CopularPredicate
    | OccupationPredicate
    | LocativePredicate
    | ExistentialPredicate
    | ComparativePredicate
    | ControlPredicate
)
Predicate = SimplePredicate | ReportPredicate


class InfinitiveAdjunct(NamedTuple):
    """An infinitive after a preposition, "to do", "without doing" or "before doing" in lexicon.PREPOSITIONS."""

    preposition: UninflectedPhrase
    act: VerbPhrase


class Clause(NamedTuple):
    """A subject, a predicate and adverbials; tense is a key of verb_group.TENSES, negation is "", "not" or "never"."""

    subject: Nominal | None
    predicate: Predicate
    tense: str = "present"
    negation: str = ""
    frequency: UninflectedPhrase | None = None
    manner: UninflectedPhrase | None = None
    place: PlacePhrase | None = None
    time: UninflectedPhrase | None = None
    time_first: bool = False
    adjunct: InfinitiveAdjunct | None = None


class Coordination(NamedTuple):
    """Two sentences with "and", "but", "or" or "so" between; the second may share the subject of the first."""

    first: Derivation
    conjunction: str
    second: Derivation


class Subordination(NamedTuple):
    """A main sentence with a subordinate clause, which precedes it if `fronted`."""

    main: Derivation
    conjunction: str
    subordinate: Clause
    fronted: bool = False


class Question(NamedTuple):
    """A question: `ask` is a key of sentences.QUESTION_WORDS, or "whether", "which" (with `focus`), "who"."""

    clause: Clause
    ask: str = "whether"
    focus: NounPhrase | None = None


Derivation = Clause | Coordination | Subordination | Question

# The types of the nodes that contain lexical entries: all nodes but pronouns.
_PHRASES = (NounPhrase, CoordinatedNounPhrase, RelativeClause, PlacePhrase, InfinitiveAdjunct)
NODE_TYPES = frozenset((*_PHRASES, *get_args(Predicate), *get_args(Derivation)))


def features(nominal: Nominal) -> Agreement:
    """Returns the agreement features of a noun phrase; two are masculine unless both are feminine."""
    if isinstance(nominal, NounPhrase):
        return nominal.noun.features[nominal.plural]
    if isinstance(nominal, Pronoun):
        return nominal.features
    feminine = nominal.first.noun.feminine and nominal.second.noun.feminine
    return Agreement(THEY, 2 + feminine, nominal.first.noun.human)


def pronoun_for(nominal: Nominal) -> Pronoun:
    """Returns the pronoun whose antecedent is this noun phrase, or the pronoun itself."""
    if isinstance(nominal, Pronoun):
        return nominal
    return Pronoun(features(nominal), bound=True)
