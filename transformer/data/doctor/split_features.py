"""The features of a complete split, on which checks of splits and of overlaps work."""

import dataclasses
import functools

import numpy as np

from transformer.data.doctor.alignment_checks import MisalignedPassage, misaligned_passages
from transformer.data.doctor.line_features import SideFeatures


@dataclasses.dataclass
class SplitFeatures:
    """The features of a complete split or of a sample of it.

    Attributes:
      source: features of the source lines.
      target: features of the target lines; their number may differ.
      indices: of a sample, the index in the split of each line; None for a complete split.
    """

    source: SideFeatures
    target: SideFeatures
    indices: np.ndarray | None = None

    @property
    def sides(self) -> tuple[SideFeatures, SideFeatures]:
        """The features of source and target."""
        return self.source, self.target

    def index_in_split(self, index: int) -> int:
        """Returns the index in the split of a line of the sample."""
        return index if self.indices is None else int(self.indices[index])

    @functools.cached_property
    def pair_hashes(self) -> np.ndarray:
        """A hash of each pair; 0 if a side has neither letters nor digits."""
        size = min(len(self.source), len(self.target))
        source, target = self.source.hashes[:size], self.target.hashes[:size]
        # Different odd multipliers: a pair and its swapped pair differ, and equal sides do not cancel.
        mixed = source * np.int64(0x9E3779B97F4A7C1) + target * np.int64(0x2545F4914F6CDD1D)
        return np.where((source != 0) & (target != 0), mixed, 0)

    @functools.cached_property
    def misaligned(self) -> list[MisalignedPassage]:
        """The passages in which line i of the target does not translate line i of the source."""
        return misaligned_passages(self.source, self.target)
