"""Sentence pairs as token ids in flat arrays, and batches cut from them.

Two million pairs of thirty tokens a side take 270 MB; as Python lists they would take twenty times that.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from transformer.data.pairs import Pair
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import EOS, PAD

_HASHED = 1 << 18  # numbers hashed at a time
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
        # As int32 from the first: of tens of millions of sentences, differences of 64 bits are not made room for.
        return np.subtract(self.offsets[1:], self.offsets[:-1], dtype=np.int32, casting="unsafe")

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

    @property
    def sentences(self) -> int:
        """How many pairs there are."""
        return len(self)

    @property
    def tokens(self) -> int:
        """Of both sides, EOS included."""
        return len(self.source.tokens) + len(self.target.tokens)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pairs as ids, in hexadecimal."""
        return hashed(array for side in (self.source, self.target) for array in (side.tokens, side.offsets))

    def batch(self, indices: np.ndarray, source: int, target: int) -> Batch:
        """The pairs `indices`, `source` and `target` tokens wide; index -1 makes a row of PAD."""
        return Batch(self.source.padded(indices, source), self.target.padded(indices, target))


def hashed(arrays: Iterable[np.ndarray], begin: str = "") -> str:
    """SHA-256 of a text and numbers, in hexadecimal."""
    digest = hashlib.sha256(begin.encode())
    for array in arrays:
        for start in range(0, len(array), _HASHED):
            digest.update(array[start : start + _HASHED].astype("<i8").tobytes())
    return digest.hexdigest()


def sentences(row: Sequence[int]) -> list[list[int]]:
    """The sentences of a row of a batch, with their EOS: one, several, or of a row of PAD none."""
    ends = [0, *(place + 1 for place, token in enumerate(row) if token == EOS)]
    return [list(row[begin:end]) for begin, end in itertools.pairwise(ends)]


def tokenize(pairs: Sequence[Pair], tokenizer: Tokenizer, max_length: int | None) -> TokenizedPairs:
    """Encodes `pairs`; those with an empty side, or one of more than `max_length` tokens with its EOS, are left out.

    Raises:
      ValueError: no pair is left.
    """
    found = encoded(pairs, range(len(pairs)), tokenizer, max_length)
    require_some(len(found), len(pairs), max_length)
    return found


def encoded(
    pairs: Sequence[Pair], part: range, tokenizer: Tokenizer, max_length: int | None, threads: int = -1
) -> TokenizedPairs:
    """The same of some neighbouring pairs, by a number of threads (-1: one a core); perhaps none is left."""
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.int32
    tokens: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    lengths: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    positions = [np.zeros(0, np.int64)]
    for start in range(part.start, part.stop, _CHUNK):
        chunk = pairs[start : min(start + _CHUNK, part.stop)]
        source, target = zip(*chunk, strict=True)
        sides = [tokenizer.encode_batch(source, threads), tokenizer.of_target.encode_batch(target, threads)]
        sizes = [np.fromiter(map(len, side), np.int32, len(chunk)) + 1 for side in sides]
        kept = (sizes[0] > 1) & (sizes[1] > 1)
        if max_length is not None:
            kept &= (sizes[0] <= max_length) & (sizes[1] <= max_length)
        positions.append(start + np.flatnonzero(kept))
        for side, size, all_tokens, all_lengths in zip(sides, sizes, tokens, lengths, strict=True):
            flat = itertools.chain.from_iterable((*ids, EOS) for ids in itertools.compress(side, kept))
            all_tokens.append(np.fromiter(flat, dtype, int(size[kept].sum())))
            all_lengths.append(size[kept])
    source, target = (
        TokenizedSide(
            np.concatenate([np.zeros(0, dtype), *side]),
            np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int32), *size]), dtype=np.int64)]),
        )
        for side, size in zip(tokens, lengths, strict=True)
    )
    kept_positions = np.concatenate(positions)
    return TokenizedPairs(source, target, kept_positions, len(part) - len(kept_positions))


def require_some(kept: int, pairs: int, max_length: int | None) -> None:
    """Raises ValueError when none of `pairs` pairs was kept."""
    if not kept:
        raise ValueError(f"none of {pairs} pairs is left: all are empty on a side or longer than {max_length} tokens")
