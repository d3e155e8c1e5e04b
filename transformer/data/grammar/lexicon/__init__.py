"""The lexicon: the .tsv tables of this folder as entries, looked up by English lemma. README.md explains the tables.

Two English verbs with one name carry a label: TRANSITIVE["forget"] takes an object, CONTROL["forget to"] an infinitive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from transformer.data.grammar.lexicon import reading
from transformer.data.grammar.lexicon.entries import LexicalEntry, Noun, UninflectedPhrase, Verb
from transformer.data.grammar.lexicon.weights import assign_weights, grammar_words
from transformer.data.grammar.tables import Row, comma_separated, one_of, read_mapping, read_table

E = TypeVar("E", bound=LexicalEntry)

_NOUN_COLUMNS = "english english_plural? french gender kinds location? destination?"
NOUNS = read_mapping("nouns.tsv", _NOUN_COLUMNS, reading.noun)
NAMES = read_mapping("names.tsv", "name gender", reading.name)
REGIONS = read_mapping("regions.tsv", "english french in_or_to from article?", reading.region)
_COMMON_NOUNS = (*NOUNS.values(), *REGIONS.values())
KINDS = frozenset().union(*(entry.kinds for entry in _COMMON_NOUNS))
ALIASES = read_mapping("kind_aliases.tsv", "alias kinds", lambda row: row["kinds"])


def parse_kinds(text: str) -> frozenset[str]:
    """Returns the kinds and lemmas in a list of kinds, lemmas and aliases.

    Raises:
        ValueError: a word of the list is none of these.
    """
    kinds: set[str] = set()
    for word in text.split():
        for kind in ALIASES.get(word, word).split():
            if kind not in KINDS:
                raise ValueError(f"no noun has the kind or lemma {kind!r}")
            kinds.add(kind)
    return frozenset(kinds)


def select_nouns(text: str) -> tuple[Noun, ...]:
    """Returns the nouns that have a kind, alias or lemma of a list, in the order of the lexicon; no names.

    A word after a minus sign excludes nouns: "people -guest".
    """
    words = text.split()
    kinds = parse_kinds(" ".join(word for word in words if word[0] != "-"))
    excluded = parse_kinds(" ".join(word[1:] for word in words if word[0] == "-"))
    return tuple(n for n in _COMMON_NOUNS if not kinds.isdisjoint(n.kinds) and excluded.isdisjoint(n.kinds))


def find_noun(lemma: str) -> Noun:
    """Returns a noun, name, city or country by its English lemma."""
    return NOUNS.get(lemma) or NAMES.get(lemma) or REGIONS[lemma]


ADJECTIVES = read_mapping(
    "adjectives.tsv",
    "english french position fits not_attributive_with?",
    lambda row: reading.adjective(row, parse_kinds, select_nouns),
)
STATES = read_mapping(
    "states.tsv", "english auxiliary french fits", lambda row: reading.stative_phrase(row, parse_kinds)
)


def _assign_properties() -> None:
    """Gives every noun the adjectives and stative phrases that fit it."""
    for noun in (*_COMMON_NOUNS, *NAMES.values()):
        fitting = [a for a in ADJECTIVES.values() if not a.kinds.isdisjoint(noun.kinds)]
        states = [s for s in STATES.values() if not s.kinds.isdisjoint(noun.kinds)]
        noun.adjectives = tuple(a for a in fitting if a.attributive and noun not in a.not_attributive_with)
        noun.predicates = (*(a for a in fitting if a.predicative), *states)


_assign_properties()


def _by_class(rows: list[tuple[str, E]], classes: Sequence[str]) -> list[dict[str, E]]:
    """Returns lemma → entry for each class; `rows` holds pairs of a class and an entry."""
    return [{entry.lemma: entry for row_class, entry in rows if row_class == name} for name in classes]


VERB_CLASSES = "intransitive transitive ditransitive control report motion weather copula".split()
INTRANSITIVE, TRANSITIVE, DITRANSITIVE, CONTROL, REPORT, MOTION, WEATHER, _COPULAS = _by_class(
    read_table(
        "verbs.tsv",
        "class english label? french aspect frames? places?",
        lambda row: (one_of(row, "class", VERB_CLASSES), reading.verb(row, select_nouns)),
        key="class english label",
    ),
    VERB_CLASSES,
)
VERB_TABLES = (INTRANSITIVE, TRANSITIVE, DITRANSITIVE, CONTROL, REPORT, MOTION, WEATHER)
COPULA_ETRE, COPULA_AVOIR = _COPULAS["be so"], _COPULAS["be having"]


def action_verb(lemma: str) -> Verb:
    """Returns an intransitive or transitive verb by its English lemma.

    Raises:
        ValueError: there is no such verb.
    """
    verb = INTRANSITIVE.get(lemma) or TRANSITIVE.get(lemma)
    if verb is None:
        raise ValueError(f"no intransitive or transitive verb {lemma!r}")
    return verb


UNINFLECTED_CLASSES = (
    *("preposition", "conjunction", "degree", "frequency", "manner"),
    *("past time", "future time", "present time", "habit time"),
)


def _uninflected(row: Row) -> tuple[str, UninflectedPhrase]:
    """Returns class and entry of a row, and gives an adverb of manner to the verbs of its row."""
    name = one_of(row, "class", UNINFLECTED_CLASSES)
    kinds = frozenset({"habit"}) if name == "habit time" else frozenset()
    entry = reading.uninflected(row["english"], row["french"], row["label"], row["links"], kinds)
    for lemma in comma_separated(row["verbs"]):
        action_verb(lemma).manners += (entry,)
    return name, entry


_UNINFLECTED_ROWS = read_table(
    "uninflected.tsv", "class english label? french links? verbs?", _uninflected, key="class english label"
)
PREPOSITIONS, CONJUNCTIONS, DEGREES, FREQUENCIES, MANNERS, PAST_TIMES, FUTURE_TIMES, PRESENT_TIMES, HABIT_TIMES = (
    _by_class(_UNINFLECTED_ROWS, UNINFLECTED_CLASSES)
)
UNINFLECTED = tuple(entry for _, entry in _UNINFLECTED_ROWS)
CONTENT: tuple[LexicalEntry, ...] = (
    *_COMMON_NOUNS,
    *NAMES.values(),
    *ADJECTIVES.values(),
    *STATES.values(),
    *(verb for table in VERB_TABLES for verb in table.values()),
)
assign_weights(CONTENT, grammar_words(CONTENT, UNINFLECTED))
