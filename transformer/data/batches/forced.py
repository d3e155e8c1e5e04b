"""Batches for teacher forcing: given pairs, in order, padded to one shape so that one compiled program serves all."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from transformer.data.pairs import Pair
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import BOS, EOS, PAD


class ForcedBatch(NamedTuple):
    """Sentences of which `indices` says where they come from; rows beyond them are padding."""

    indices: Sequence[int]
    source_BS: np.ndarray
    input_BT: np.ndarray
    target_BT: np.ndarray

    def apart(self, attention: Mapping[str, np.ndarray]) -> Iterator[tuple[int, "ForcedBatch", dict[str, np.ndarray]]]:
        """Each sentence's index, the sentence, and its weights of every attention, [H, ...], all without padding.

        Args:
          attention: weights of the whole batch, [B, H, ...], by name.
        """
        for row, index in enumerate(self.indices):
            source, target = (int((ids[row] != PAD).sum()) for ids in (self.source_BS, self.target_BT))
            one = ForcedBatch(
                [index], self.source_BS[row, :source], self.input_BT[row, :target], self.target_BT[row, :target]
            )
            sizes = {"encoder": (source, source), "decoder": (target, target), "cross": (target, source)}
            cut = {}
            for name, weights in attention.items():
                rows, columns = sizes[name.partition("/")[0]]
                cut[name] = weights[row, :, :rows, :columns]
            yield index, one, cut


def forced_batches(tokenizer: Tokenizer, pairs: Sequence[Pair], rows: int) -> list[ForcedBatch]:
    """Every pair, in batches of one shape of so many rows, so that one compiled program serves all.

    Raises:
      ValueError: there are no pairs.
    """
    if not pairs:
        raise ValueError("no sentence pairs to look at")
    sides = [tokenizer.encode_batch([pair[side] for pair in pairs]) for side in range(2)]
    sources, targets = ([[*ids, EOS] for ids in side] for side in sides)
    widths = [8 * math.ceil(max(map(len, side)) / 8) for side in (sources, targets)]
    found = []
    for first in range(0, len(pairs), rows):
        indices = range(first, min(first + rows, len(pairs)))
        arrays = [np.full((rows, width), PAD, np.int32) for width in (widths[0], widths[1], widths[1])]
        for row, index in enumerate(indices):
            inputs = [BOS, *targets[index][:-1]]
            for array, ids in zip(arrays, (sources[index], inputs, targets[index]), strict=True):
                array[row, : len(ids)] = ids
        found.append(ForcedBatch(indices, *arrays))
    return found
