"""Checks for repeated sentences: within a split, and in a held-out split and the training split."""

from collections.abc import Iterator, Sequence

import numpy as np

from transformer.data.doctor.findings import Occurrences
from transformer.data.doctor.split_features import SplitFeatures
from transformer.data.pairs import Pair

_MANY_TRANSLATIONS = 5
_MAX_SHARED, _MIN_PAIRS = 0.5, 50  # share of a held-out split above which it is "same-split"; its minimum size


def duplicates(split: SplitFeatures, limit: int) -> Iterator[Occurrences]:
    """Finds pairs that occurred before, ignoring case and punctuation."""
    hashes = split.pair_hashes
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    repeated = np.flatnonzero((first[inverse] != np.arange(len(hashes))) & (hashes != 0))
    if len(repeated):
        shown = repeated[:limit]
        yield Occurrences(shown.tolist(), len(repeated), duplicate_of=first[inverse[shown]].tolist())


def many_translations(split: SplitFeatures, limit: int, side: int) -> Iterator[Occurrences]:
    """Finds sources (side 0) or targets (1) with many translations: no model can learn them; usually boilerplate."""
    hashes = split.sides[side].hashes
    _, first = np.unique(split.pair_hashes, return_index=True)
    distinct = np.sort(first[split.pair_hashes[first] != 0])  # sorted: the order of ties must not depend on hashes
    _, first, counts = np.unique(hashes[distinct], return_index=True, return_counts=True)
    many = np.flatnonzero(counts >= _MANY_TRANSLATIONS)
    if len(many):
        indices = distinct[first[many]]
        order = np.lexsort((indices, -counts[many]))[:limit]
        excerpts = [f"{count:,} {('targets', 'sources')[side]}" for count in counts[many][order]]
        yield Occurrences(indices[order].tolist(), len(many), excerpts)


def overlap(training: SplitFeatures, held_out: SplitFeatures, limit: int) -> Iterator[Occurrences]:
    """Finds held-out pairs that also occur in training, unless most do."""
    shared = _shared(training.pair_hashes, held_out.pair_hashes)
    if len(shared) and not is_same_split(len(shared), len(held_out.pair_hashes)):
        yield _occurrences(shared, training.pair_hashes, held_out.pair_hashes, limit)


def same_split(training: SplitFeatures, held_out: SplitFeatures, limit: int) -> Iterator[Occurrences]:
    """Finds a held-out split most of whose pairs occur in training."""
    shared = _shared(training.pair_hashes, held_out.pair_hashes)
    if is_same_split(len(shared), len(held_out.pair_hashes)):
        yield _occurrences(shared, training.pair_hashes, held_out.pair_hashes, limit)


def is_same_split(num_shared: int, num_held_out: int) -> bool:
    """Returns whether so many pairs are shared that the held-out split is a copy of training data."""
    return num_held_out >= _MIN_PAIRS and num_shared > _MAX_SHARED * num_held_out


def exact_overlap(training: Sequence[Pair], held_out: Sequence[Pair], limit: int) -> Occurrences | None:
    """Finds held-out pairs that occur in training with exactly the same text."""
    indices = {pair: index for index, pair in enumerate(held_out)}
    duplicate_of: dict[int, int] = {}
    for training_index, pair in enumerate(training):
        if pair in indices:
            duplicate_of.setdefault(indices[pair], training_index)
    if not duplicate_of:
        return None
    shown = sorted(duplicate_of)[:limit]
    return Occurrences(shown, len(duplicate_of), duplicate_of=[duplicate_of[index] for index in shown])


def side_overlap(training: SplitFeatures, held_out: SplitFeatures, limit: int, side: int) -> Iterator[Occurrences]:
    """Finds held-out sources (side 0) or targets (1) that occur in training with another translation."""
    seen, unseen = training.sides[side].hashes, held_out.sides[side].hashes
    shared = np.setdiff1d(_shared(seen, unseen), _shared(training.pair_hashes, held_out.pair_hashes))
    if len(shared):
        yield _occurrences(shared, seen, unseen, limit)


def _shared(seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isin(unseen, seen) & (unseen != 0))


def _occurrences(shared: np.ndarray, seen: np.ndarray, unseen: np.ndarray, limit: int) -> Occurrences:
    shown = shared[:limit]
    duplicate_of = [int(np.flatnonzero(seen == unseen[index])[0]) for index in shown]
    return Occurrences(shown.tolist(), len(shared), duplicate_of=duplicate_of)
