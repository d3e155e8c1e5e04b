"""Word alignment by attention, against gold links; Och & Ney 2003."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

Links = frozenset[tuple[int, int]]  # (target word, source word)


class Agreement(NamedTuple):
    """Counts that add up over sentences."""

    right: int
    found: int
    gold: int

    @property
    def error_rate(self) -> float:
        """AER = 1 - 2 · right / (found + gold), all gold links being sure: 0 is perfect."""
        return 1 - 2 * self.right / max(self.found + self.gold, 1)


def strongest(weights_TS: np.ndarray, words: int) -> Links:
    """Links each target word with the source word it looks at most.

    Args:
      weights_TS: between words.
      words: source words proper; what comes after them, such as "</s>", links nothing.
    """
    return frozenset((t, int(s)) for t, s in enumerate(np.argmax(weights_TS, axis=1)) if s < words)


def compare(pairs: Iterable[tuple[Links, Links]]) -> Agreement:
    """How well found links agree with gold ones, sentence by sentence: (found, gold)."""
    total = [0, 0, 0]
    for found, gold in pairs:
        for place, count in enumerate((len(found & gold), len(found), len(gold))):
            total[place] += count
    return Agreement(*total)
