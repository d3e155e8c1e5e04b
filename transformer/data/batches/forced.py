"""Batches for teacher forcing: given pairs in order, padded to one shape for one compiled program."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from transformer.data.pairs import Pair
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.padding import padded_width
from transformer.spec import BOS, EOS, PAD

_WIDTH_MULTIPLE = 8


class ForcedBatch(NamedTuple):
    """Sentence pairs with decoder inputs; rows beyond `indices` are padding.

    Attributes:
      indices: the position of each pair in the list that the batches were made from.
      source_BS: source ids with EOS.
      input_BT: decoder inputs: BOS and the target without EOS.
      target_BT: target ids with EOS.
    """

    indices: Sequence[int]
    source_BS: np.ndarray
    input_BT: np.ndarray
    target_BT: np.ndarray

    def unpadded(self, attention: Mapping[str, np.ndarray]) -> Iterator[tuple[int, Self, dict[str, np.ndarray]]]:
        """Yields the index, the pair and the attention weights of each sentence, without padding.

        Args:
          attention: weights of the batch, [B, H, queries, keys], by name; a name starts with encoder/, decoder/ or
            cross/.
        """
        for row, index in enumerate(self.indices):
            source, target = (int((ids[row] != PAD).sum()) for ids in (self.source_BS, self.target_BT))
            arrays = (self.source_BS[row, :source], self.input_BT[row, :target], self.target_BT[row, :target])
            pair = type(self)([index], *arrays)
            sizes = {"encoder": (source, source), "decoder": (target, target), "cross": (target, source)}
            weights = {}
            for name, padded in attention.items():
                queries, keys = sizes[name.partition("/")[0]]
                weights[name] = padded[row, :, :queries, :keys]
            yield index, pair, weights


def forced_batches(tokenizer: Tokenizer, pairs: Sequence[Pair], rows: int) -> list[ForcedBatch]:
    """Returns all pairs in order, in batches of one shape with `rows` rows; raises ValueError if there are no pairs."""
    if not pairs:
        raise ValueError("no sentence pairs to look at")
    tokenizers = (tokenizer, tokenizer.for_target)
    sides = [tokenizers[side].encode_batch([pair[side] for pair in pairs]) for side in range(2)]
    sources, targets = ([[*ids, EOS] for ids in side] for side in sides)
    longest = [max(map(len, side)) for side in (sources, targets, targets)]
    widths = [_WIDTH_MULTIPLE * math.ceil(length / _WIDTH_MULTIPLE) for length in longest]
    batches = []
    for first in range(0, len(pairs), rows):
        indices = range(first, min(first + rows, len(pairs)))
        arrays = [np.full((rows, width), PAD, np.int32) for width in widths]
        for row, index in enumerate(indices):
            inputs = [BOS, *targets[index][:-1]]
            for array, ids in zip(arrays, (sources[index], inputs, targets[index]), strict=True):
                array[row, : len(ids)] = ids
        batches.append(ForcedBatch(indices, *arrays))
    return batches


def batches_by_width(
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    rows: int,
    max_tokens: int,
    row_multiple: int = 1,
) -> list[ForcedBatch]:
    """Returns all pairs in batches of few shapes; the shape of a pair's batch depends on no other pair.

    Args:
      sources: source ids of each pair, without EOS.
      targets: target ids of each pair, without EOS.
      rows: rows of a batch, at most.
      max_tokens: limit of rows × width, as far as `row_multiple` allows.
      row_multiple: the number of rows is a multiple of it.
    """
    widths = [padded_width(max(len(source), len(target)) + 1) for source, target in zip(sources, targets, strict=True)]
    batches = []
    for width in sorted(set(widths)):
        group = [index for index, other in enumerate(widths) if other == width]
        count = max(row_multiple, min(rows, max_tokens // width) // row_multiple * row_multiple)
        for first in range(0, len(group), count):
            indices = group[first : first + count]
            arrays = [np.full((count, width), PAD, np.int32) for _ in range(3)]
            for row, index in enumerate(indices):
                ids = ([*sources[index], EOS], [BOS, *targets[index]], [*targets[index], EOS])
                for array, row_ids in zip(arrays, ids, strict=True):
                    array[row, : len(row_ids)] = row_ids
            batches.append(ForcedBatch(indices, *arrays))
    return batches
