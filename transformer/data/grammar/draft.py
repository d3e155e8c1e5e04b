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


class Realisation:
    """Creates anchors and collects tags while one derivation is realised.

    Attributes:
        last: the newest anchor.
        realise_relative: realises the relative clause of a noun phrase. phrases.py cannot import it, because noun
            phrases and clauses contain each other.
        tags: the tags so far.
    """

    __slots__ = ("last", "realise_relative", "tags")

    def __init__(self, realise_relative: Callable[[Realisation, NounPhrase], AlignedPhrase]) -> None:
        self.last = 0
        self.realise_relative = realise_relative
        self.tags: set[str] = set()

    def new_anchor(self) -> int:
        """Returns an anchor that no token has."""
        self.last += 1
        return self.last

    def word(self, french: str, english: str) -> AlignedPhrase:
        """Returns a French and an English word that are aligned."""
        anchor = self.new_anchor()
        return [(french, anchor)], [(english, anchor)]

    def uninflected(self, entry: UninflectedPhrase | None) -> AlignedPhrase:
        """Returns the tokens of an uninflected phrase, with new anchors; no tokens for None."""
        if entry is None:
            return [], []
        base = self.last
        self.last += entry.num_anchors
        if not entry.linked:
            anchor = base + 1
            return [(word, anchor) for word, _ in entry.french], [(word, anchor) for word, _ in entry.english]
        french = [(word, shift_anchor(anchor, base)) for word, anchor in entry.french]
        return french, [(word, shift_anchor(anchor, base)) for word, anchor in entry.english]


def concatenate(*phrases: AlignedPhrase) -> AlignedPhrase:
    """Returns the tokens of several phrases, which have the same order in both languages."""
    french: Tokens = []
    english: Tokens = []
    for phrase in phrases:
        french += phrase[0]
        english += phrase[1]
    return french, english


def shift_anchor(anchor: Anchor, base: int) -> Anchor:
    """Returns an anchor of an uninflected phrase, moved past the anchors in use; 0 if it has none."""
    if isinstance(anchor, int):
        return anchor + base
    return tuple(a + base for a in anchor) if anchor else 0


def merge_anchors(*anchors: Anchor) -> Anchor:
    """Returns the anchor of a token that contracts several ("du" for "de le")."""
    merged: tuple[int, ...] = ()
    for anchor in anchors:
        merged += (anchor,) if isinstance(anchor, int) else anchor
    return merged
