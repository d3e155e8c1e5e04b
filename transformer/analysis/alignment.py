"""Word alignment by attention, compared with gold links; Och & Ney 2003."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

Links = frozenset[tuple[int, int]]  # (target word, source word)


class LinkCounts(NamedTuple):
    """Counts that add up over sentences."""

    correct: int
    predicted: int
    gold: int

    @property
    def error_rate(self) -> float:
        """AER = 1 - 2 · correct / (predicted + gold), where all gold links are sure; 0 is perfect."""
        return 1 - 2 * self.correct / max(self.predicted + self.gold, 1)


def argmax_links(weights_TS: np.ndarray, words: int) -> Links:
    """Links each target word to the source word with the largest weight.

    Args:
      weights_TS: attention between words.
      words: number of source words; later columns, such as "</s>", give no link.
    """
    return frozenset((t, int(s)) for t, s in enumerate(np.argmax(weights_TS, axis=1)) if s < words)


def count_links(pairs: Iterable[tuple[Links, Links]]) -> LinkCounts:
    """Sums the counts of (predicted, gold) links over sentences."""
    pairs = list(pairs)
    correct = sum(len(predicted & gold) for predicted, gold in pairs)
    return LinkCounts(correct, sum(len(predicted) for predicted, _ in pairs), sum(len(gold) for _, gold in pairs))
