"""Sentences that occur more than once: within a split, and in two splits of which one should be unseen."""

from collections.abc import Iterator, Sequence

import numpy as np

from transformer.data.doctor.findings import Hits
from transformer.data.doctor.split import Split
from transformer.data.pairs import Pair

_MANY_TRANSLATIONS = 5
MOST, FEWEST = 0.5, 50  # share of a held-out split that is its greater part, and pairs of one of which that is said


def duplicates(split: Split, limit: int) -> Iterator[Hits]:
    """Finds pairs that occurred before, case and punctuation apart."""
    key = split.pair_key
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    again = np.flatnonzero((first[inverse] != np.arange(len(key))) & (key != 0))
    if len(again):
        shown = again[:limit]
        yield Hits(shown.tolist(), len(again), twins=first[inverse[shown]].tolist())


def many_targets(split: Split, limit: int) -> Iterator[Hits]:
    """Finds sources with many unlike targets, which no model can learn, and that most often are boilerplate."""
    yield from _many(split, split.source.key, limit, "targets")


def many_sources(split: Split, limit: int) -> Iterator[Hits]:
    """Finds targets with many unlike sources."""
    yield from _many(split, split.target.key, limit, "sources")


def _many(split: Split, side: np.ndarray, limit: int, what: str) -> Iterator[Hits]:
    _, first = np.unique(split.pair_key, return_index=True)
    unlike = np.sort(first[split.pair_key[first] != 0])  # without this order, ties would depend on hashes
    _, first, counts = np.unique(side[unlike], return_index=True, return_counts=True)
    many = np.flatnonzero(counts >= _MANY_TRANSLATIONS)
    if len(many):
        places = unlike[first[many]]
        order = np.lexsort((places, -counts[many]))[:limit]
        yield Hits(places[order].tolist(), len(many), [f"{count:,} {what}" for count in counts[many][order]])


def overlap(training: Split, held_out: Split, limit: int) -> Iterator[Hits]:
    """Finds held-out pairs that also occur in training, if they are not most of them."""
    shared = _shared(training.pair_key, held_out.pair_key)
    if len(shared) and not _most(shared, held_out):
        yield _hits(shared, training.pair_key, held_out.pair_key, limit)


def same_split(training: Split, held_out: Split, limit: int) -> Iterator[Hits]:
    """Finds a held-out split of which most pairs occur in training."""
    shared = _shared(training.pair_key, held_out.pair_key)
    if _most(shared, held_out):
        yield _hits(shared, training.pair_key, held_out.pair_key, limit)


def exact_overlap(training: Sequence[Pair], held_out: Sequence[Pair], limit: int) -> Hits | None:
    """The held-out pairs that occur in training to the letter."""
    places = {pair: place for place, pair in enumerate(held_out)}
    twins: dict[int, int] = {}
    for twin, pair in enumerate(training):
        if pair in places:
            twins.setdefault(places[pair], twin)
    shown = sorted(twins)[:limit]
    return Hits(shown, len(twins), twins=[twins[place] for place in shown]) if twins else None


def source_overlap(training: Split, held_out: Split, limit: int) -> Iterator[Hits]:
    """Finds held-out sources that occur in training with another target."""
    yield from _side_overlap(training, held_out, training.source.key, held_out.source.key, limit)


def target_overlap(training: Split, held_out: Split, limit: int) -> Iterator[Hits]:
    """Finds held-out targets that occur in training with another source."""
    yield from _side_overlap(training, held_out, training.target.key, held_out.target.key, limit)


def _side_overlap(training: Split, held_out: Split, seen: np.ndarray, unseen: np.ndarray, limit: int) -> Iterator[Hits]:
    shared = np.setdiff1d(_shared(seen, unseen), _shared(training.pair_key, held_out.pair_key))
    if len(shared):
        yield _hits(shared, seen, unseen, limit)


def _shared(seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isin(unseen, seen) & (unseen != 0))


def _most(shared: np.ndarray, held_out: Split) -> bool:
    return len(held_out.pair_key) >= FEWEST and len(shared) > MOST * len(held_out.pair_key)


def _hits(shared: np.ndarray, seen: np.ndarray, unseen: np.ndarray, limit: int) -> Hits:
    shown = shared[:limit]
    return Hits(shown.tolist(), len(shared), twins=[int(np.flatnonzero(seen == unseen[index])[0]) for index in shown])
