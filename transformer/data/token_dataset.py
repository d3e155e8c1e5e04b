"""Tokenized sentence pairs in flat arrays, and batches taken from them.

Two million pairs with 30 tokens on each side take 270 MB; Python lists would take 20 times as much.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from transformer.data.pairs import Pair
from transformer.data.tokenizers.input_text import is_blank
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import EOS, PAD

_HASH_CHUNK = 1 << 18  # numbers hashed at a time
_CHUNK = 8192  # pairs encoded at a time: enough to keep SentencePiece's threads busy


class Batch(NamedTuple):
    """A training batch of token ids. Rows that consist of PAD fill up the batch and have no weight.

    Attributes:
      source: int32 [B, S]; each row holds the tokens of a sentence, EOS, and PAD.
      target: int32 [B, T], likewise. The training step shifts it right with BOS.
    """

    source: np.ndarray
    target: np.ndarray


@dataclasses.dataclass(frozen=True)
class TokenizedSide:
    """The sentences of one language: sentence i is `tokens[offsets[i] : offsets[i + 1]]`, EOS included."""

    tokens: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """The number of tokens of each sentence, EOS included; int32."""
        # Directly as int32, to save the memory of 64-bit differences for tens of millions of sentences.
        return np.subtract(self.offsets[1:], self.offsets[:-1], dtype=np.int32, casting="unsafe")

    def sentence(self, index: int) -> np.ndarray:
        """Returns the ids of a sentence, EOS included."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def padded(self, indices: np.ndarray, width: int) -> np.ndarray:
        """Returns the sentences `indices` as rows of an int32 array, padded to `width`; index -1 gives a row of PAD.

        Raises:
          ValueError: a sentence is longer than `width`.
        """
        starts = self.offsets[indices]
        lengths = np.where(indices >= 0, self.offsets[indices + 1] - starts, 0)
        if lengths.size and lengths.max() > width:
            raise ValueError(f"sentence of {lengths.max()} tokens in a batch {width} wide")
        positions = np.arange(width)
        filled = positions < lengths[:, None]
        rows = np.full((len(indices), width), PAD, np.int32)
        rows[filled] = self.tokens[(starts[:, None] + positions)[filled]]
        return rows


@dataclasses.dataclass(frozen=True)
class TokenizedPairs:
    """The tokenized pairs of a split, without those that are too long or empty.

    Attributes:
      source: the source sentences.
      target: the target sentences; sentence i of one side translates sentence i of the other.
      positions: index of each pair in the split, ascending; int64.
      dropped: the number of pairs left out because a side is too long or empty.
    """

    source: TokenizedSide
    target: TokenizedSide
    positions: np.ndarray
    dropped: int

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Source lengths and target lengths in tokens, EOS included."""
        return self.source.lengths, self.target.lengths

    @property
    def num_pairs(self) -> int:
        """The number of pairs."""
        return len(self)

    @property
    def num_tokens(self) -> int:
        """The number of tokens of both sides, EOS included."""
        return len(self.source.tokens) + len(self.target.tokens)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pairs' token ids, in hexadecimal."""
        return hash_arrays(array for side in (self.source, self.target) for array in (side.tokens, side.offsets))

    def batch(self, indices: np.ndarray, source: int, target: int) -> Batch:
        """Returns the pairs `indices`, padded to `source` and `target` tokens; index -1 gives a row of PAD."""
        return Batch(self.source.padded(indices, source), self.target.padded(indices, target))


def hash_arrays(arrays: Iterable[np.ndarray], prefix: str = "") -> str:
    """Returns the SHA-256 of a text and of integer arrays, in hexadecimal."""
    digest = hashlib.sha256(prefix.encode())
    for array in arrays:
        for start in range(0, len(array), _HASH_CHUNK):
            digest.update(array[start : start + _HASH_CHUNK].astype("<i8").tobytes())
    return digest.hexdigest()


def sentences_in_row(row: Sequence[int]) -> list[list[int]]:
    """Returns the sentences of a row of a batch, each with its EOS: none for a row of PAD, several for a packed row."""
    edges = [0, *(position + 1 for position, token in enumerate(row) if token == EOS)]
    return [list(row[start:end]) for start, end in itertools.pairwise(edges)]


def tokenize(pairs: Sequence[Pair], tokenizer: Tokenizer, max_length: int | None) -> TokenizedPairs:
    """Encodes `pairs`; leaves out those with an empty side or with more than `max_length` tokens, EOS included.

    Raises:
      ValueError: no pair remains.
    """
    tokenized = encode_pairs(pairs, range(len(pairs)), tokenizer, max_length)
    require_nonempty(len(tokenized), len(pairs), max_length)
    return tokenized


def encode_pairs(
    pairs: Sequence[Pair], part: range, tokenizer: Tokenizer, max_length: int | None, threads: int = -1
) -> TokenizedPairs:
    """Encodes a range of the pairs like `tokenize`, with `threads` threads (-1: one per core); may keep none."""
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.int32
    # For source and target. The lists start with an empty array, because possibly no pair is kept.
    tokens = [[np.zeros(0, dtype)] for _ in range(2)]
    lengths = [[np.zeros(0, np.int32)] for _ in range(2)]
    positions = [np.zeros(0, np.int64)]
    for start in range(part.start, part.stop, _CHUNK):
        chunk = pairs[start : min(start + _CHUNK, part.stop)]
        source, target = zip(*chunk, strict=True)
        sides = [tokenizer.encode_batch(source, threads), tokenizer.for_target.encode_batch(target, threads)]
        sizes = [np.fromiter(map(len, side), np.int32, len(chunk)) + 1 for side in sides]
        blank = np.fromiter((is_blank(pair.source) or is_blank(pair.target) for pair in chunk), bool, len(chunk))
        kept = (sizes[0] > 1) & (sizes[1] > 1) & ~blank
        if max_length is not None:
            kept &= (sizes[0] <= max_length) & (sizes[1] <= max_length)
        positions.append(start + np.flatnonzero(kept))
        for side, size, all_tokens, all_lengths in zip(sides, sizes, tokens, lengths, strict=True):
            flat = itertools.chain.from_iterable((*ids, EOS) for ids in itertools.compress(side, kept))
            all_tokens.append(np.fromiter(flat, dtype, int(size[kept].sum())))
            all_lengths.append(size[kept])
    offsets = [np.cumsum(np.concatenate([[0], *sizes]), dtype=np.int64) for sizes in lengths]
    source, target = (TokenizedSide(np.concatenate(side), ends) for side, ends in zip(tokens, offsets, strict=True))
    kept_positions = np.concatenate(positions)
    return TokenizedPairs(source, target, kept_positions, len(part) - len(kept_positions))


def require_nonempty(num_kept: int, pairs: int, max_length: int | None) -> None:
    """Raises ValueError if none of `pairs` pairs was kept."""
    if not num_kept:
        raise ValueError(f"none of {pairs} pairs is left: all have an empty side or more than {max_length} tokens")
