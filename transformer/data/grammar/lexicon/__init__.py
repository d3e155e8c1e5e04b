"""The lexicon: the data tables of this package as entries, looked up by English lemma.

Two English verbs of one name carry a label: TRANSITIVE["forget"] takes an object, CONTROL["forget to"] an infinitive.
"""

from __future__ import annotations

from transformer.data.grammar.lexicon import adjectives as adjective_data
from transformer.data.grammar.lexicon import fixed as fixed_data
from transformer.data.grammar.lexicon import nouns as noun_data
from transformer.data.grammar.lexicon import reading
from transformer.data.grammar.lexicon import verbs as verb_data
from transformer.data.grammar.lexicon.entries import Adjective, Entry, Fixed, Noun, State, Verb
from transformer.data.grammar.lexicon.weights import assign, grammar_words

PREPOSITIONS = reading.fixed_table(fixed_data.PREPOSITIONS)
CONJUNCTIONS = reading.fixed_table(fixed_data.CONJUNCTIONS)
DEGREES = reading.fixed_table(fixed_data.DEGREES)
FREQUENCIES = reading.fixed_table(fixed_data.FREQUENCY)
PAST_TIMES = reading.fixed_table(fixed_data.PAST_TIMES)
FUTURE_TIMES = reading.fixed_table(fixed_data.FUTURE_TIMES)
PRESENT_TIMES = reading.fixed_table(fixed_data.PRESENT_TIMES)
HABIT_TIMES = reading.fixed_table(fixed_data.HABIT_TIMES, frozenset({"habit"}))

NOUNS: dict[str, Noun] = {
    entry.lemma: entry
    for group, text in noun_data.NOUNS.items()
    for entry in (reading.noun(item, group) for item in reading.items(text))
}
NAMES: dict[str, Noun] = {entry.lemma: entry for entry in map(reading.name, reading.items(noun_data.NAMES))}
REGIONS: dict[str, Noun] = {entry.lemma: entry for entry in map(reading.region, reading.items(noun_data.REGIONS))}
_COMMON = (*NOUNS.values(), *REGIONS.values())
KINDS = frozenset().union(*(entry.kinds for entry in _COMMON))


def expand(text: str) -> frozenset[str]:
    """Returns the kinds and lemmas in a list of kinds, lemmas and aliases.

    Raises:
        ValueError: if a word of the list is none of these, so that a typing error in a table cannot pass.
    """
    kinds: set[str] = set()
    for word in text.split():
        for kind in verb_data.ALIASES.get(word, word).split():
            if kind not in KINDS:
                raise ValueError(f"no noun has the kind or lemma {kind!r}")
            kinds.add(kind)
    return frozenset(kinds)


def nouns_of(text: str) -> tuple[Noun, ...]:
    """Returns the nouns that a list of kinds, aliases and lemmas names, in the order of the lexicon; no names.

    A word after a minus sign takes nouns out again: "people -guest".
    """
    words = text.split()
    kinds = expand(" ".join(word for word in words if word[0] != "-"))
    without = expand(" ".join(word[1:] for word in words if word[0] == "-"))
    return tuple(n for n in _COMMON if not kinds.isdisjoint(n.kinds) and without.isdisjoint(n.kinds))


def noun(lemma: str) -> Noun:
    """Returns a noun, name, city or country by its English lemma."""
    return NOUNS.get(lemma) or NAMES.get(lemma) or REGIONS[lemma]


def _verbs(text: str) -> dict[str, Verb]:
    return {entry.lemma: entry for entry in (reading.verb(fields, nouns_of) for fields in reading.lines(text))}


ADJECTIVES: dict[str, Adjective] = {
    entry.lemma: entry for entry in (reading.adjective(f, expand) for f in reading.lines(adjective_data.ADJECTIVES))
}
STATES: dict[str, State] = {
    entry.lemma: entry for entry in (reading.state(f, expand) for f in reading.lines(adjective_data.STATES))
}
INTRANSITIVE = _verbs(verb_data.INTRANSITIVE)
TRANSITIVE = _verbs(verb_data.TRANSITIVE)
DITRANSITIVE = _verbs(verb_data.DITRANSITIVE)
CONTROL = _verbs(verb_data.CONTROL)
REPORT = _verbs(verb_data.REPORT)
MOTION = _verbs(verb_data.MOTION)
WEATHER = _verbs(verb_data.WEATHER)
VERB_TABLES = (INTRANSITIVE, TRANSITIVE, DITRANSITIVE, CONTROL, REPORT, MOTION, WEATHER)
COPULA_ETRE, COPULA_AVOIR = _verbs("be [so] = être : s : people\nbe [having] = avoir : s : people").values()


def _fit_adjectives() -> None:
    """Gives every noun the adjectives and states that fit it."""
    excluded = {lemma: nouns_of(nouns) for lemma, nouns in adjective_data.NOT_BESIDE.items()}
    for entry in (*_COMMON, *NAMES.values()):
        fitting = [a for a in ADJECTIVES.values() if not a.kinds.isdisjoint(entry.kinds)]
        states = [s for s in STATES.values() if not s.kinds.isdisjoint(entry.kinds)]
        entry.adjectives = tuple(a for a in fitting if a.attributive and entry not in excluded.get(a.lemma, ()))
        entry.predicates = (*(a for a in fitting if a.predicative), *states)


def _read_manners() -> dict[str, Fixed]:
    """Returns the adverbs of manner, and gives each to the verbs it goes with."""
    manners: dict[str, Fixed] = {}
    for item in reading.items(fixed_data.MANNER):
        pair, verbs = item.split(" : ")
        manner = reading.fixed(pair)
        manners[manner.lemma] = manner
        for word in verbs.split():
            lemma = word.replace("_", " ")
            verb = INTRANSITIVE.get(lemma) or TRANSITIVE[lemma]
            verb.manners += (manner,)
    return manners


_fit_adjectives()
MANNERS = _read_manners()
UNINFLECTED: tuple[Fixed, ...] = tuple(
    entry
    for table in [
        *(PREPOSITIONS, CONJUNCTIONS, DEGREES, FREQUENCIES, MANNERS),
        *(PAST_TIMES, FUTURE_TIMES, PRESENT_TIMES, HABIT_TIMES),
    ]
    for entry in table.values()
)
CONTENT: tuple[Entry, ...] = (
    *_COMMON,
    *NAMES.values(),
    *ADJECTIVES.values(),
    *STATES.values(),
    *(verb for table in VERB_TABLES for verb in table.values()),
)
assign(CONTENT, grammar_words(CONTENT, UNINFLECTED))
