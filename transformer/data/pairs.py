"""Sentence pairs, the elements of every corpus."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self, overload

from transformer.spec import DataSpec

_BATCH = 1024  # pairs read at a time by `take`: record files are read faster in bulk


class Pair(NamedTuple):
    """A sentence and its translation."""

    source: str
    target: str


class LazyPairs(Sequence[Pair]):
    """A sequence of pairs that are read on access.

    It can be pickled for another process if `read` can.

    Args:
      size: the number of pairs.
      read: returns the pairs at the given indices.
    """

    def __init__(self, size: int, read: Callable[[Sequence[int]], list[Pair]]) -> None:
        self._size, self._read = size, read

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
        return self.take(range(self._size))

    def take(self, indices: Sequence[int]) -> Iterator[Pair]:
        """Yields the pairs at `indices`, reading many of them at a time."""
        for start in range(0, len(indices), _BATCH):
            yield from self._read(indices[start : start + _BATCH])

    def head(self, size: int) -> Self:
        """Returns the first `size` pairs, also lazy."""
        return type(self)(min(size, self._size), self._read)


def first_pairs(pairs: Sequence[Pair], size: int | None) -> Sequence[Pair]:
    """Returns the first `size` pairs, or all if there are fewer or `size` is None."""
    if size is None:
        return pairs
    return pairs.head(size) if isinstance(pairs, LazyPairs) else pairs[:size]


def too_few_pairs(spec: DataSpec, available: int) -> list[str]:
    """Returns a warning if the training split has fewer pairs than `data.train_pairs`, which then has no effect."""
    if spec.train_pairs is None or spec.train_pairs <= available:
        return []
    return [f"warning: data.train_pairs={spec.train_pairs}, but split {spec.train_split!r} has only {available} pairs"]


def sample(pairs: Sequence[Pair], size: int) -> Iterator[Pair]:
    """Returns a stratified random sample of `size` pairs, the same every time, or all pairs if there are fewer.

    Divides the pairs into `size` equal ranges and draws one pair from each. Only these are read, because a pair of a
    record file takes 60 µs.
    """
    if size >= len(pairs):
        return iter(pairs)
    generator = random.Random(0)  # its random() is the same in all versions of Python
    edges = [len(pairs) * number // size for number in range(size + 1)]
    indices = [start + int(generator.random() * (end - start)) for start, end in itertools.pairwise(edges)]
    return pairs.take(indices) if isinstance(pairs, LazyPairs) else (pairs[index] for index in indices)
