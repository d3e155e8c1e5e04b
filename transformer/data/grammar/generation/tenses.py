"""Sequence of tenses: a relative clause in a past clause is past."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from transformer.data.grammar.nodes import NODE_TYPES, Clause, RelativeClause, VerbPhrase

T = TypeVar("T", bound=tuple)

PAST = frozenset({"past", "background", "concession, past"})


def in_sequence(node: T, past: bool = False) -> T:
    """Returns the derivation with past relative clauses in past clauses.

    "The man who is shouting left" becomes "The man who was shouting left".
    """
    if isinstance(node, Clause):
        past = node.tense in PAST
    elif isinstance(node, RelativeClause) and past and node.clause.tense == "present":
        predicate = node.clause.predicate
        # A perception has no background tense: "voyait" would be a second French form of "saw".
        seen = isinstance(predicate, VerbPhrase) and predicate.verb.aspect == "perception"
        node = node._replace(clause=node.clause._replace(tense="past" if seen else "background"))
    kind: Any = type(node)
    parts = cast("tuple[Any, ...]", node)
    return kind(*(in_sequence(part, past) if type(part) in NODE_TYPES else part for part in parts))
