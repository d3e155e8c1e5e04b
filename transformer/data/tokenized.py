"""Sentence pairs as token ids in flat arrays, and batches cut from them.

Two million pairs of thirty tokens a side take 270 MB; as Python lists they would take twenty times that.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from transformer.data.pairs import Pair
from transformer.data.tokenizer import Tokenizer
from transformer.spec import EOS, PAD

_CHUNK = 8192  # pairs encoded at a time: enough to keep SentencePiece's threads busy


class Batch(NamedTuple):
    """Sentence pairs as ids; a row that is PAD throughout fills the batch up and carries no weight.

    Attributes:
      source: int32 [B, S], each row the tokens of a sentence, EOS, and PAD.
      target: int32 [B, T], likewise. Shifting right with BOS is the training step's affair.
    """

    source: np.ndarray
    target: np.ndarray


@dataclasses.dataclass(frozen=True)
class TokenizedSide:
    """One language: sentence i is `tokens[offsets[i] : offsets[i + 1]]`, its EOS included."""

    tokens: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Tokens in each sentence, EOS included; int32."""
        return np.diff(self.offsets).astype(np.int32)

    def row(self, index: int) -> np.ndarray:
        """The ids of a sentence, EOS included."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def padded(self, indices: np.ndarray, width: int) -> np.ndarray:
        """The sentences `indices` as rows of an int32 array `width` wide; a row of index -1 is PAD throughout.

        Raises:
          ValueError: a sentence is longer than `width`.
        """
        starts = self.offsets[indices]
        lengths = np.where(indices >= 0, self.offsets[indices + 1] - starts, 0)
        if lengths.size and lengths.max() > width:
            raise ValueError(f"sentence of {lengths.max()} tokens in a batch {width} wide")
        positions = np.arange(width)
        inside = positions < lengths[:, None]
        rows = np.full((len(indices), width), PAD, np.int32)
        rows[inside] = self.tokens[(starts[:, None] + positions)[inside]]
        return rows


@dataclasses.dataclass(frozen=True)
class TokenizedPairs:
    """The pairs of a split that can be trained on, as ids.

    Attributes:
      source: what is translated.
      target: its translations; sentence i of one side belongs to sentence i of the other.
      positions: where each pair stood in the split, ascending; int64.
      dropped: pairs of the split left out as too long or as empty on a side.
    """

    source: TokenizedSide
    target: TokenizedSide
    positions: np.ndarray
    dropped: int

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Source and target lengths in tokens, EOS included."""
        return self.source.lengths, self.target.lengths

    def batch(self, indices: np.ndarray, source: int, target: int) -> Batch:
        """The pairs `indices`, `source` and `target` tokens wide; index -1 makes a row of PAD."""
        return Batch(self.source.padded(indices, source), self.target.padded(indices, target))


def tokenize(pairs: Sequence[Pair], tokenizer: Tokenizer, max_length: int | None) -> TokenizedPairs:
    """Encodes `pairs`; those with an empty side, or one of more than `max_length` tokens with its EOS, are left out.

    Raises:
      ValueError: no pair is left.
    """
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.int32
    tokens: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    lengths: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    positions = []
    for start, chunk in _chunks(pairs):
        sides = [tokenizer.encode_batch(texts) for texts in zip(*chunk, strict=True)]
        sizes = [np.fromiter(map(len, side), np.int32, len(chunk)) + 1 for side in sides]
        kept = (sizes[0] > 1) & (sizes[1] > 1)
        if max_length is not None:
            kept &= (sizes[0] <= max_length) & (sizes[1] <= max_length)
        positions.append(start + np.flatnonzero(kept))
        for side, size, all_tokens, all_lengths in zip(sides, sizes, tokens, lengths, strict=True):
            flat = [token for ids, keep in zip(side, kept, strict=True) if keep for token in (*ids, EOS)]
            all_tokens.append(np.array(flat, dtype))
            all_lengths.append(size[kept])
    kept_positions = np.concatenate(positions) if positions else np.zeros(0, np.int64)
    if not len(kept_positions):
        raise ValueError(
            f"none of {len(pairs)} pairs is left: all are empty on a side or longer than {max_length} tokens"
        )
    source, target = (
        TokenizedSide(np.concatenate(side), np.concatenate([[0], np.cumsum(np.concatenate(size), dtype=np.int64)]))
        for side, size in zip(tokens, lengths, strict=True)
    )
    return TokenizedPairs(source, target, kept_positions, len(pairs) - len(kept_positions))


def _chunks(pairs: Sequence[Pair]) -> Iterator[tuple[int, Sequence[Pair]]]:
    for start in range(0, len(pairs), _CHUNK):
        yield start, pairs[start : start + _CHUNK]
