"""The state of one realisation: fresh anchors, and the tags of the phenomena met so far.

Words are tokens (word, anchor). A French and an English token are aligned when they share an anchor; anchor 0 aligns
with nothing, and a tuple of anchors aligns with the tokens of each ("du" with "of" and with "the").
"""

from __future__ import annotations

from collections.abc import Callable

from transformer.data.grammar.lexicon.entries import Fixed
from transformer.data.grammar.nodes import NounPhrase

Anchor = int | tuple[int, ...]
Token = tuple[str, Anchor]
Tokens = list[Token]
Phrase = tuple[Tokens, Tokens]  # French, English


class Draft:
    """Hands out anchors and collects tags while one derivation is realised.

    It also carries the rule for relative clauses: noun phrases contain clauses and clauses noun phrases, and the
    modules of the two are in that order.
    """

    __slots__ = ("last", "relative", "tags")

    def __init__(self, relative: Callable[[Draft, NounPhrase], Phrase]) -> None:
        self.last = 0
        self.relative = relative
        self.tags: set[str] = set()

    def fresh(self) -> int:
        """Returns an anchor that no token has yet."""
        self.last += 1
        return self.last

    def fixed(self, entry: Fixed) -> Phrase:
        """Returns the tokens of an uninflected phrase, with fresh anchors."""
        base = self.last
        self.last += entry.span
        if not entry.linked:
            anchor = base + 1
            return [(word, anchor) for word, _ in entry.french], [(word, anchor) for word, _ in entry.english]
        return [(word, shift(anchor, base)) for word, anchor in entry.french], [
            (word, shift(anchor, base)) for word, anchor in entry.english
        ]


def shift(anchor: Anchor, base: int) -> Anchor:
    """Returns an anchor of a fixed phrase moved past the anchors in use; 0 for none."""
    if isinstance(anchor, int):
        return anchor + base
    return tuple(a + base for a in anchor) if anchor else 0


def merge(one: Anchor, two: Anchor) -> Anchor:
    """Returns the anchor of a token that stands for two ("du" for "de le")."""
    first = (one,) if isinstance(one, int) else one
    second = (two,) if isinstance(two, int) else two
    return first + second
