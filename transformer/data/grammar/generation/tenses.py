"""The tense of a relative clause follows that of the clause around it."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from transformer.data.grammar.nodes import Act, Clause, Relative
from transformer.data.grammar.sampling import NODES

T = TypeVar("T", bound=tuple)

PAST = frozenset({"past", "background", "concession, past"})


def in_sequence(node: T, past: bool = False) -> T:
    """Returns the derivation with no present in a relative clause of a past one.

    "The man who is shouting left" becomes "The man who was shouting left".
    """
    if isinstance(node, Clause):
        past = node.tense in PAST
    elif isinstance(node, Relative) and past and node.clause.tense == "present":
        done = node.clause.predicate
        # A perception has no background: "voyait" would be one more French for "saw".
        seen = isinstance(done, Act) and done.verb.aspect == "p"
        node = node._replace(clause=node.clause._replace(tense="past" if seen else "background"))
    kind: Any = type(node)
    parts = cast("tuple[Any, ...]", node)
    return kind(*(in_sequence(part, past) if type(part) in NODES else part for part in parts))
