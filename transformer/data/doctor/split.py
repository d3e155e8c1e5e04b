"""What is kept of a whole split."""

import dataclasses
import functools

import numpy as np

from transformer.data.doctor.alignment_checks import Passage, passages
from transformer.data.doctor.line_features import Side


@dataclasses.dataclass
class Split:
    """What is kept of a whole split, or of a sample of it.

    Attributes:
      source: numbers on the lines.
      target: numbers on the lines; not always as many.
      places: of a sample, where each line stands in the split.
    """

    source: Side
    target: Side
    places: np.ndarray | None = None

    def at(self, index: int) -> int:
        """Where a line stands in the split."""
        return index if self.places is None else int(self.places[index])

    @functools.cached_property
    def pair_key(self) -> np.ndarray:
        """A hash of each pair, 0 where a side has neither letters nor digits."""
        size = min(len(self.source), len(self.target))
        source, target = self.source.key[:size], self.target.key[:size]
        # Odd multipliers: a pair and the same with its sides exchanged differ, and a copy does not cancel out.
        mixed = source * np.int64(0x9E3779B97F4A7C1) + target * np.int64(0x2545F4914F6CDD1D)
        return np.where((source != 0) & (target != 0), mixed, 0)

    @functools.cached_property
    def passages(self) -> list[Passage]:
        """Where the pairing is lost."""
        return passages(self.source, self.target)
