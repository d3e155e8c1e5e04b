"""A mixture of corpora as the training split of another corpus; `data.mixture`."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from transformer.data.pairs import LazyPairs, Pair
from transformer.mixture import Part

Corpus = Any  # transformer.data.corpus.Corpus; that module imports this one


class MixedCorpus:
    """A corpus whose training split is a mixture.

    Attributes:
      base: the corpus of the other splits.
      parts: the corpora of the training split, each with its weight and tag.
      train_split: the name of the training split, of the mixture and of every part.
      direction: source and target language, "fr-en".
    """

    def __init__(self, base: Corpus, parts: Sequence[tuple[Part, Corpus]], train_split: str, direction: str) -> None:
        self.base, self.parts, self.train_split, self.direction = base, parts, train_split, direction

    def split(self, name: str) -> Sequence[Pair]:
        """Returns the pairs of a split; the training split part by part, lazily if one of the parts is lazy."""
        if name != self.train_split:
            return self.base.split(name)
        splits = [corpus.split(name) for _, corpus in self.parts]
        mixture = _mix([(part, pairs) for (part, _), pairs in zip(self.parts, splits, strict=True)])
        return mixture if any(isinstance(pairs, LazyPairs) for pairs in splits) else list(mixture)

    def lazy_split(self, name: str, cache: pathlib.Path | None = None) -> LazyPairs:
        """Returns the same pairs as a lazy sequence; each part has a folder in `cache`."""
        if name != self.train_split:
            return self.base.lazy_split(name, cache)
        folders = [cache / f"part{number}" if cache else None for number in range(len(self.parts))]
        for folder in filter(None, folders):
            folder.mkdir(exist_ok=True)
        parts = zip(self.parts, folders, strict=True)
        return _mix([(part, corpus.lazy_split(name, folder)) for (part, corpus), folder in parts])

    def fingerprint(self, name: str, previous: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the fingerprints of all parts, with weights and tags; tags are those of one direction."""
        if name != self.train_split:
            return self.base.fingerprint(name, previous)
        known, parts = previous.get("parts", {}), {}
        for number, (part, corpus) in enumerate(self.parts):
            own = corpus.fingerprint(name, known.get(str(number), {}))
            parts[str(number)] = {**own, "weight": part.weight, "tag": part.tag}
        tagged = {"direction": self.direction} if any(part.tag for part, _ in self.parts) else {}
        return {"source": "mixture", "parts": parts, **tagged}


class _Side(NamedTuple):
    """A part of the mixture: `size` pairs, whose first ones are all pairs, `size` // their number times."""

    pairs: Sequence[Pair]
    size: int
    tag: str

    def read(self, indices: Sequence[int]) -> list[Pair]:
        available = len(self.pairs)
        whole = self.size // available * available
        # The last, incomplete repetition takes pairs that are evenly spaced.
        own = [i % available if i < whole else (i - whole) * available // (self.size - whole) for i in indices]
        pairs = self.pairs.take(own) if isinstance(self.pairs, LazyPairs) else (self.pairs[i] for i in own)
        return [Pair(f"{self.tag} {pair.source}", pair.target) if self.tag else pair for pair in pairs]


class _Mixture(NamedTuple):
    """Reads the pairs of all parts, one part after the other."""

    sides: tuple[_Side, ...]
    starts: tuple[int, ...]  # of each part, and the end of the last one

    def __call__(self, indices: Sequence[int]) -> list[Pair]:
        number_of = [sum(index >= start for start in self.starts[1:]) for index in indices]
        pairs = []
        for number, group in itertools.groupby(zip(number_of, indices, strict=True), lambda item: item[0]):
            pairs += self.sides[number].read([index - self.starts[number] for _, index in group])
        return pairs


def _mix(parts: Sequence[tuple[Part, Sequence[Pair]]]) -> LazyPairs:
    sides = tuple(_Side(pairs, max(1, round(part.weight * len(pairs))), part.tag) for part, pairs in parts)
    starts = tuple(itertools.accumulate((side.size for side in sides), initial=0))
    return LazyPairs(starts[-1], _Mixture(sides, starts))
