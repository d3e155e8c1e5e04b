"""Sentence pairs: what every corpus yields."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self, overload

_READ_AHEAD = 1024  # pairs made at a time when all are visited: record files are read faster in bulk


class Pair(NamedTuple):
    """A sentence and its translation."""

    source: str
    target: str


class LazyPairs(Sequence[Pair]):
    """Pairs that are made when asked for: `read` gives the pairs at some indices.

    Where `read` can be pickled, so can these, and another process makes some of them.
    """

    def __init__(self, size: int, read: Callable[[Sequence[int]], list[Pair]]) -> None:
        self._size = size
        self._read = read

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return self._read(range(*index.indices(self._size)))
        if not -self._size <= index < self._size:
            raise IndexError(f"pair {index} of {self._size}")
        return self._read([index % self._size])[0]

    def __iter__(self) -> Iterator[Pair]:
        return self.at(range(self._size))

    def at(self, indices: Sequence[int]) -> Iterator[Pair]:
        """The pairs at `indices`, many of them read at a time."""
        for start in range(0, len(indices), _READ_AHEAD):
            yield from self._read(indices[start : start + _READ_AHEAD])

    def head(self, size: int) -> Self:
        """The first `size` pairs, as lazy as these."""
        return type(self)(min(size, self._size), self._read)


def first(pairs: Sequence[Pair], size: int | None, split: str) -> Sequence[Pair]:
    """The first `size` pairs of `split`, or all for None; raises ValueError when there are fewer."""
    if size is None:
        return pairs
    if size > len(pairs):
        raise ValueError(f"data.train_pairs: {size} asked for, but split {split!r} has {len(pairs)} pairs")
    return pairs.head(size) if isinstance(pairs, LazyPairs) else pairs[:size]


def sampled(pairs: Sequence[Pair], size: int) -> Iterator[Pair]:
    """All the pairs, or `size` of them from all over the split, one by chance from each stretch; the same every time.

    Not by reading all of them: of a corpus of records a pair takes 60 µs.
    """
    if size >= len(pairs):
        return iter(pairs)
    chance = random.Random(0)  # whose random() never changes between Pythons
    edges = [len(pairs) * number // size for number in range(size + 1)]
    chosen = [begin + int(chance.random() * (end - begin)) for begin, end in itertools.pairwise(edges)]
    return pairs.at(chosen) if isinstance(pairs, LazyPairs) else (pairs[index] for index in chosen)
