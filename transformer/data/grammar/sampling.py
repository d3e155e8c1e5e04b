"""Stateless random numbers, and the division into splits.

A `RandomStream` is a counter-based generator (SplitMix64: Steele, Lea and Flood 2014, "Fast splittable pseudorandom
number generators") with the key (seed, split, index), so that pair `index` of a split needs no pair before it.

The split of a sentence is a hash of its content: the multiset of its lexical entries, in any order and inflection.
Entries that share a surface form in either language share a weight (see lexicon/weights.py). The text in either
language therefore determines the content, and two sentences with one text cannot be in two splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from transformer.data.grammar.lexicon.entries import LexicalEntry
from transformer.data.grammar.nodes import NODE_TYPES

T = TypeVar("T")

SPLITS = ("train", "validation", "test", "long")

# Splits by content hash, in thousandths; "long" differs by its length.
SPLIT_RANGES = {"train": (0, 900), "validation": (900, 950), "test": (950, 1000)}

MASK = 0xFFFFFFFFFFFFFFFF
GOLDEN_GAMMA = 0x9E3779B97F4A7C15


def mix64(z: int) -> int:
    """Returns SplitMix64's finaliser of a 64-bit integer."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class RandomStream:
    """A stream of random choices that depends only on its key."""

    __slots__ = ("relative_clauses", "relative_percent", "state")

    def __init__(self, *key: int, relative_percent: int = 0) -> None:
        """Starts the stream.

        Args:
            key: integers of any size and sign.
            relative_percent: percentage of noun phrases with a relative clause, for the generation rules.
        """
        state = 0
        for part in key:
            state = mix64((state ^ (part & MASK)) + GOLDEN_GAMMA & MASK)
        self.state = state
        self.relative_percent = relative_percent
        self.relative_clauses = 0  # relative clauses so far

    def randbelow(self, n: int) -> int:
        """Returns an integer from 0 to n - 1; the bias for small n is below 2**-40."""
        self.state = z = (self.state + GOLDEN_GAMMA) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return ((z ^ (z >> 31)) * n) >> 64

    def chance(self, percent: int) -> bool:
        """Returns True with this probability in percent."""
        return self.randbelow(100) < percent

    def choice(self, items: Sequence[T]) -> T:
        """Returns one of the items."""
        self.state = z = (self.state + GOLDEN_GAMMA) & MASK  # randbelow() inlined: it dominates the cost
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return items[((z ^ (z >> 31)) * len(items)) >> 64]


ENTRY_TYPES = frozenset(LexicalEntry.__subclasses__())


def content_weight(node: tuple[object, ...]) -> int:
    """Returns the sum of the weights of the entries in a derivation; a pronoun adds nothing."""
    total = 0
    for part in node:
        kind = type(part)  # exact types, because this is the inner loop of sampling
        if kind in NODE_TYPES:
            total += content_weight(part)  # pyright: ignore[reportArgumentType]
        elif kind in ENTRY_TYPES:
            total += part.weight  # pyright: ignore[reportAttributeAccessIssue]
    return total


def in_split(split: str, derivation: tuple[object, ...]) -> bool:
    """Returns whether the content of a derivation belongs to a split."""
    low, high = SPLIT_RANGES[split]
    return low <= mix64(content_weight(derivation) & MASK) % 1000 < high
