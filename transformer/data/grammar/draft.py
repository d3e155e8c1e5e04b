"""The state of one realisation: new anchors, and the tags of the phenomena so far.

Words are tokens (word, anchor). A French and an English token are aligned if they share an anchor. Anchor 0 aligns
with nothing; a tuple of anchors aligns with the tokens of each ("du" with "of" and with "the").
"""

from __future__ import annotations

from collections.abc import Callable

from transformer.data.grammar.lexicon.entries import UninflectedPhrase
from transformer.data.grammar.nodes import NounPhrase

Anchor = int | tuple[int, ...]
Token = tuple[str, Anchor]
Tokens = list[Token]
AlignedPhrase = tuple[Tokens, Tokens]  # French, English


class RealisationContext:
    """Creates anchors and collects tags while one derivation is realised.

    Attributes:
        last: the newest anchor.
        realise_relative: realises the relative clause of a noun phrase. phrases.py cannot import it, because noun
            phrases and clauses contain each other.
        tags: the tags so far.
    """

    __slots__ = ("last", "realise_relative", "tags")

    def __init__(self, realise_relative: Callable[[RealisationContext, NounPhrase], AlignedPhrase]) -> None:
        self.last = 0
        self.realise_relative = realise_relative
        self.tags: set[str] = set()

    def new_anchor(self) -> int:
        """Returns an anchor that no token has."""
        self.last += 1
        return self.last

    def uninflected(self, entry: UninflectedPhrase) -> AlignedPhrase:
        """Returns the tokens of an uninflected phrase, with new anchors."""
        base = self.last
        self.last += entry.num_anchors
        if not entry.linked:
            anchor = base + 1
            return [(word, anchor) for word, _ in entry.french], [(word, anchor) for word, _ in entry.english]
        return [(word, shift_anchor(anchor, base)) for word, anchor in entry.french], [
            (word, shift_anchor(anchor, base)) for word, anchor in entry.english
        ]


def shift_anchor(anchor: Anchor, base: int) -> Anchor:
    """Returns an anchor of an uninflected phrase, moved past the anchors in use; 0 if it has none."""
    if isinstance(anchor, int):
        return anchor + base
    return tuple(a + base for a in anchor) if anchor else 0


def merge_anchors(first_anchor: Anchor, second_anchor: Anchor) -> Anchor:
    """Returns the anchor of a token that contracts two ("du" for "de le")."""
    first_anchors = (first_anchor,) if isinstance(first_anchor, int) else first_anchor
    second_anchors = (second_anchor,) if isinstance(second_anchor, int) else second_anchor
    return first_anchors + second_anchors
