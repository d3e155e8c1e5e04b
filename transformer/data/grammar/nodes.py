"""Derivations: what a sentence says, before it is said in either language.

A derivation is a tree of these tuples over lexicon entries. It fixes everything that both languages share (who did
what, when, how many) and nothing that only one of them has; `sentences.realise` turns it into a pair of aligned texts.
"""

from __future__ import annotations

from typing import NamedTuple

from transformer.data.grammar.agreement import THEY, Features
from transformer.data.grammar.lexicon.entries import Adjective, Fixed, Noun, Property, Verb


class NounPhrase(NamedTuple):
    """A noun with its determiner (a key of phrases.DETERMINERS) and modifiers; names ignore the determiner."""

    noun: Noun
    determiner: str = "the"
    plural: bool = False
    adjective: Adjective | None = None
    possessor: NounPhrase | None = None  # "Marie's book"; takes the determiner's place
    complement: NounPhrase | None = None  # "the door of the house"
    relative: Relative | None = None


class Couple(NamedTuple):
    """Two noun phrases joined: "Marie and Paul"; plural."""

    first: NounPhrase
    second: NounPhrase
    conjunction: str = "and"


class Pronoun(NamedTuple):
    """A personal pronoun; `bound` says that its antecedent stands in the same sentence."""

    features: Features
    bound: bool = False


Nominal = NounPhrase | Couple | Pronoun


class Relative(NamedTuple):
    """A relative clause: in a "subject" one the clause has no subject, in an "object" one its act has no object."""

    role: str
    clause: Clause


class Place(NamedTuple):
    """A preposition and the noun phrase after it."""

    preposition: Fixed
    nominal: NounPhrase


class Act(NamedTuple):
    """A verb with its objects."""

    verb: Verb
    object: Nominal | None = None
    recipient: NounPhrase | Pronoun | None = None


class Be(NamedTuple):
    """être or avoir with an adjective or state; degree is a key of lexicon.DEGREES or ""."""

    property: Property
    degree: str = ""


class Occupation(NamedTuple):
    """être with a profession: "Marie est médecin"."""

    noun: Noun


class Located(NamedTuple):
    """être with a place."""

    place: Place


class Existence(NamedTuple):
    """What there is ("il y a"): a noun phrase and a place; the clause's subject is the dummy pronoun."""

    nominal: NounPhrase
    place: Place


class Comparison(NamedTuple):
    """être plus ... que."""

    adjective: Adjective
    standard: NounPhrase


class Control(NamedTuple):
    """A verb with an infinitive: "veut lire le livre"."""

    verb: Verb
    act: Act


class Report(NamedTuple):
    """A verb with a that-clause: "pense que ..."."""

    verb: Verb
    clause: Clause


Predicate = Act | Be | Occupation | Located | Existence | Comparison | Control | Report


class Adjunct(NamedTuple):
    """An infinitive after a preposition, "to do", "without doing" or "before doing" in lexicon.PREPOSITIONS."""

    preposition: Fixed
    act: Act


class Clause(NamedTuple):
    """A subject, a predicate and adverbials; tense is a key of clauses.TENSES, negation "", "not" or "never"."""

    subject: Nominal | None
    predicate: Predicate
    tense: str = "present"
    negation: str = ""
    frequency: Fixed | None = None
    manner: Fixed | None = None
    place: Place | None = None
    time: Fixed | None = None
    time_first: bool = False
    adjunct: Adjunct | None = None


class Joined(NamedTuple):
    """Two sentences joined by "and", "but", "or" or "so"; the second may lack its subject and take the first one's."""

    first: Sentence
    conjunction: str
    second: Sentence


class Subordinated(NamedTuple):
    """A main sentence with a subordinate clause, before it when `fronted`."""

    main: Sentence
    conjunction: str
    subordinate: Clause
    fronted: bool = False


class Question(NamedTuple):
    """A question: `ask` is a key of sentences.QUESTION_WORDS, or "whether", "which" (with `focus`), "who"."""

    clause: Clause
    ask: str = "whether"
    focus: NounPhrase | None = None


Sentence = Clause | Joined | Subordinated | Question


def features(nominal: Nominal) -> Features:
    """Returns what agrees with a noun phrase; a couple is masculine unless both are feminine."""
    if isinstance(nominal, NounPhrase):
        return nominal.noun.features[nominal.plural]
    if isinstance(nominal, Pronoun):
        return nominal.features
    feminine = nominal.first.noun.feminine and nominal.second.noun.feminine
    return Features(THEY, 2 + feminine, nominal.first.noun.human)


def pronoun_for(nominal: Nominal) -> Pronoun:
    """Returns the pronoun whose antecedent is this noun phrase; a pronoun stands for itself."""
    if isinstance(nominal, Pronoun):
        return nominal
    return Pronoun(features(nominal), bound=True)
