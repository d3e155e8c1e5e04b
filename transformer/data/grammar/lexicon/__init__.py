"""The lexicon: the .tsv tables of this folder as entries, looked up by English lemma. README.md explains the tables.

Two English verbs with one name carry a label: TRANSITIVE["forget"] takes an object, CONTROL["forget to"] an infinitive.
"""

from __future__ import annotations

from transformer.data.grammar.lexicon import reading
from transformer.data.grammar.lexicon.entries import (
    Adjective,
    LexicalEntry,
    Noun,
    StativePhrase,
    UninflectedPhrase,
    Verb,
)
from transformer.data.grammar.lexicon.tables import Row, comma_separated, one_of, read_table
from transformer.data.grammar.lexicon.weights import assign_weights, grammar_words

NOUNS: dict[str, Noun] = {
    entry.lemma: entry
    for entry in read_table(
        "nouns.tsv",
        ("english", "english_plural", "french", "gender", "kinds", "location", "destination"),
        reading.noun,
        optional=("english_plural", "location", "destination"),
        key=("english",),
    )
}
NAMES: dict[str, Noun] = {
    entry.lemma: entry for entry in read_table("names.tsv", ("name", "gender"), reading.name, key=("name",))
}
REGIONS: dict[str, Noun] = {
    entry.lemma: entry
    for entry in read_table(
        "regions.tsv",
        ("english", "french", "in_or_to", "from", "article"),
        reading.region,
        optional=("article",),
        key=("english",),
    )
}
_COMMON_NOUNS = (*NOUNS.values(), *REGIONS.values())
KINDS = frozenset().union(*(entry.kinds for entry in _COMMON_NOUNS))
ALIASES: dict[str, str] = dict(
    read_table("kind_aliases.tsv", ("alias", "kinds"), lambda row: (row["alias"], row["kinds"]), key=("alias",))
)


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


ADJECTIVES: dict[str, Adjective] = {}
STATES: dict[str, StativePhrase] = {}


def _read_properties() -> None:
    """Reads adjectives and stative phrases, and gives every noun those that fit it."""
    excluded: dict[str, tuple[Noun, ...]] = {}

    def adjective(row: Row) -> Adjective:
        excluded[row["english"]] = select_nouns(row["not_attributive_with"])
        return reading.adjective(row, parse_kinds)

    columns = ("english", "french", "position", "fits", "not_attributive_with")
    for entry in read_table("adjectives.tsv", columns, adjective, ("not_attributive_with",), ("english",)):
        ADJECTIVES[entry.lemma] = entry
    for entry in read_table(
        "states.tsv",
        ("english", "auxiliary", "french", "fits"),
        lambda row: reading.stative_phrase(row, parse_kinds),
        key=("english",),
    ):
        STATES[entry.lemma] = entry
    for noun in (*_COMMON_NOUNS, *NAMES.values()):
        fitting = [a for a in ADJECTIVES.values() if not a.kinds.isdisjoint(noun.kinds)]
        states = [s for s in STATES.values() if not s.kinds.isdisjoint(noun.kinds)]
        noun.adjectives = tuple(a for a in fitting if a.attributive and noun not in excluded[a.lemma])
        noun.predicates = (*(a for a in fitting if a.predicative), *states)


_read_properties()

VERB_CLASSES = (
    *("intransitive", "transitive", "ditransitive", "control"),
    *("report", "motion", "weather", "copula"),
)


def _read_verbs() -> dict[str, dict[str, Verb]]:
    tables: dict[str, dict[str, Verb]] = {name: {} for name in VERB_CLASSES}

    def verb(row: Row) -> Verb:
        entry = reading.verb(row, select_nouns)
        return tables[one_of(row, "class", VERB_CLASSES)].setdefault(entry.lemma, entry)

    columns = ("class", "english", "label", "french", "aspect", "frames", "places")
    read_table("verbs.tsv", columns, verb, ("label", "frames", "places"), key=("class", "english", "label"))
    return tables


_VERBS = _read_verbs()
INTRANSITIVE, TRANSITIVE, DITRANSITIVE, CONTROL, REPORT, MOTION, WEATHER = VERB_TABLES = tuple(
    _VERBS[name] for name in VERB_CLASSES if name != "copula"
)
COPULA_ETRE, COPULA_AVOIR = _VERBS["copula"]["be so"], _VERBS["copula"]["be having"]


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


def _read_uninflected() -> dict[str, dict[str, UninflectedPhrase]]:
    """Reads the uninflected phrases, and gives each adverb of manner to the verbs of its row."""
    tables: dict[str, dict[str, UninflectedPhrase]] = {name: {} for name in UNINFLECTED_CLASSES}

    def phrase(row: Row) -> UninflectedPhrase:
        name = one_of(row, "class", UNINFLECTED_CLASSES)
        kinds = frozenset({"habit"}) if name == "habit time" else frozenset()
        entry = reading.uninflected(row["english"], row["french"], row["label"], row["links"], kinds)
        for lemma in comma_separated(row["verbs"]):
            action_verb(lemma).manners += (entry,)
        return tables[name].setdefault(entry.lemma, entry)

    columns = ("class", "english", "label", "french", "links", "verbs")
    read_table("uninflected.tsv", columns, phrase, ("label", "links", "verbs"), key=("class", "english", "label"))
    return tables


_UNINFLECTED = _read_uninflected()
PREPOSITIONS, CONJUNCTIONS, DEGREES, FREQUENCIES, MANNERS, PAST_TIMES, FUTURE_TIMES, PRESENT_TIMES, HABIT_TIMES = (
    _UNINFLECTED[name] for name in UNINFLECTED_CLASSES
)
UNINFLECTED: tuple[UninflectedPhrase, ...] = tuple(entry for table in _UNINFLECTED.values() for entry in table.values())
CONTENT: tuple[LexicalEntry, ...] = (
    *_COMMON_NOUNS,
    *NAMES.values(),
    *ADJECTIVES.values(),
    *STATES.values(),
    *(verb for table in VERB_TABLES for verb in table.values()),
)
assign_weights(CONTENT, grammar_words(CONTENT, UNINFLECTED))
