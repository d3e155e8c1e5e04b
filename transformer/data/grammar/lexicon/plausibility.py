"""Which actions, objects and properties occur together: the tables of reasons and of successive actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from transformer.data.grammar import lexicon
from transformer.data.grammar.lexicon.entries import Noun, Property, Verb
from transformer.data.grammar.tables import Row, comma_separated, one_of, read_mapping, read_table

T = TypeVar("T")


class GradedProperty(NamedTuple):
    """A property that is a reason; `excessive` if the reason is too much of it ("too heavy")."""

    property: Property
    excessive: bool


class ReasonRule(NamedTuple):
    """Properties of the subject and of the object that are reasons for an action, or against it if `negated`.

    `objects` limits the rule to objects of these kinds; empty for all objects.
    """

    verb: str
    objects: frozenset[str]
    negated: bool
    of_subject: tuple[GradedProperty, ...]
    of_object: tuple[GradedProperty, ...]


class FollowUpRule(NamedTuple):
    """Actions that follow an action on the same object, and actions that one expects but that do not happen."""

    actions: tuple[Verb, ...]
    following: tuple[Verb, ...]
    omitted: tuple[Verb, ...]


class ActionPattern(NamedTuple):
    """A verb with its possible objects."""

    verb: Verb
    objects: tuple[Noun, ...]


def action_pattern(text: str) -> ActionPattern:
    """Parses "verb > objects" or "verb"."""
    lemma, _, objects = text.partition(">")
    return ActionPattern(lexicon.action_verb(lemma.strip()), lexicon.select_nouns(objects))


def _action_patterns(cell: str) -> tuple[ActionPattern, ...]:
    return tuple(map(action_pattern, comma_separated(cell)))


def _properties(cell: str) -> tuple[GradedProperty, ...]:
    properties: list[GradedProperty] = []
    for item in comma_separated(cell):
        lemma = item.removesuffix("*")
        # "cold" and "hot" are states of persons and qualities of things
        meanings = [table[lemma] for table in (lexicon.STATES, lexicon.ADJECTIVES) if lemma in table]
        if not meanings:
            raise ValueError(f"no adjective or stative phrase {lemma!r}")
        properties += [GradedProperty(meaning, item != lemma) for meaning in meanings]
    return tuple(properties)


def _reason(row: Row) -> ReasonRule:
    return ReasonRule(
        verb=lexicon.action_verb(row["verb"]).lemma,
        objects=lexicon.parse_kinds(row["objects"]),
        negated=one_of(row, "done", ("yes", "no")) == "no",
        of_subject=_properties(row["subject_is"]),
        of_object=_properties(row["object_is"]),
    )


def _look_up(table: Mapping[str, T], lemmas: Sequence[str], kind: str) -> tuple[T, ...]:
    unknown = [lemma for lemma in lemmas if lemma not in table]
    if unknown:
        raise ValueError(f"no {kind} {unknown[0]!r}")
    return tuple(table[lemma] for lemma in lemmas)


def _transitive(cell: str) -> tuple[Verb, ...]:
    return _look_up(lexicon.TRANSITIVE, comma_separated(cell), "transitive verb")


def _purpose(row: Row) -> tuple[tuple[Noun, ...], tuple[ActionPattern, ...]]:
    return _look_up(lexicon.NOUNS, row["places"].split(), "noun"), _action_patterns(row["actions"])


def _object_adjective(row: Row) -> frozenset[str]:
    _look_up(lexicon.ADJECTIVES, [row["adjective"]], "adjective")
    return frozenset(lexicon.action_verb(lemma).lemma for lemma in comma_separated(row["verbs"]))


REASONS = read_table("reasons.tsv", "verb objects? done subject_is? object_is?", _reason, key="verb objects done")
FOLLOW_UPS = read_table(
    "follow_ups.tsv", "action next not_next", lambda row: FollowUpRule(*map(_transitive, row.values())), key="action"
)
PURPOSES = read_table("purposes.tsv", "places actions", _purpose)
ACTION_SEQUENCES = read_table("action_sequences.tsv", "actions", lambda row: _action_patterns(row["actions"]))
OMISSIONS = read_table(
    "omissions.tsv", "action omitted", lambda row: tuple(map(_transitive, row.values())), key="action"
)
NEGLECTED = read_table(
    "neglected.tsv",
    "action neglected",
    lambda row: (action_pattern(row["action"]), _action_patterns(row["neglected"])),
    key="action",
)
OBJECT_ADJECTIVES = read_mapping("object_adjectives.tsv", "adjective verbs", _object_adjective)
