"""Randomness without state, and the rule that keeps the splits apart.

A `Stream` is a counter-based generator (SplitMix64: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators") started from (seed, split, index), so that pair `index` of a split needs no pair before it.

Which split a sentence may belong to is a hash of its content: the multiset of its lexical entries, in any order and in
any inflection. Entries that share a surface form in either language share a weight (see lexicon/weights.py), so the
French text alone determines the content, and so does the English text: two sentences with one text cannot fall into two
splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from transformer.data.grammar.lexicon.entries import Entry
from transformer.data.grammar.nodes import (
    Act,
    Adjunct,
    Be,
    Clause,
    Comparison,
    Control,
    Couple,
    Existence,
    Joined,
    Located,
    NounPhrase,
    Occupation,
    Place,
    Question,
    Relative,
    Report,
    Subordinated,
)

T = TypeVar("T")

SPLITS = ("train", "validation", "test", "long")

# Splits by content, in thousandths: train [0, 900), validation [900, 950), test [950, 1000). "long" is apart by length.
RANGES = {"train": (0, 900), "validation": (900, 950), "test": (950, 1000)}

MASK = 0xFFFFFFFFFFFFFFFF
GOLDEN = 0x9E3779B97F4A7C15


def mix(z: int) -> int:
    """Returns SplitMix64's finaliser of a 64-bit integer."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class Stream:
    """A stream of random choices that depends on its key alone."""

    __slots__ = ("nesting", "relatives", "state")

    def __init__(self, *key: int, nesting: int = 0) -> None:
        """Starts the stream.

        Args:
            key: integers that name the stream; any size, negative too.
            nesting: how many noun phrases in a hundred carry a relative clause (read by the drawing rules).
        """
        state = 0
        for part in key:
            state = mix((state ^ (part & MASK)) + GOLDEN & MASK)
        self.state = state
        self.nesting = nesting
        self.relatives = 0  # relative clauses drawn so far

    def below(self, n: int) -> int:
        """Returns an integer from 0 to n - 1; the bias for small n is below 2**-40."""
        self.state = z = (self.state + GOLDEN) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return ((z ^ (z >> 31)) * n) >> 64

    def chance(self, percent: int) -> bool:
        """Returns True that many times in a hundred."""
        return self.below(100) < percent

    def choice(self, items: Sequence[T]) -> T:
        """Returns one of the items."""
        self.state = z = (self.state + GOLDEN) & MASK  # as in below(), which is most of the cost of drawing
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return items[((z ^ (z >> 31)) * len(items)) >> 64]


# Exact types, because this is the inner loop of drawing; a pronoun is a node without content.
ENTRIES = frozenset(Entry.__subclasses__())
NODES = frozenset(
    {Act, Adjunct, Be, Clause, Comparison, Control, Couple, Existence, Joined, Located, NounPhrase, Occupation, Place}
    | {Question, Relative, Report, Subordinated}
)


def content(node: tuple[object, ...]) -> int:
    """Returns the sum of the weights of the entries in a derivation; a pronoun adds nothing."""
    total = 0
    for part in node:
        kind = type(part)
        if kind in NODES:
            total += content(part)  # pyright: ignore[reportArgumentType]
        elif kind in ENTRIES:
            total += part.weight  # pyright: ignore[reportAttributeAccessIssue]
    return total


def belongs(split: str, derivation: tuple[object, ...]) -> bool:
    """Tells whether the content of a derivation falls into the range of a split."""
    low, high = RANGES[split]
    return low <= mix(content(derivation) & MASK) % 1000 < high
