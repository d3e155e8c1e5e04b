"""What is timed: sizes of models and batches that every library can be given, and the batches themselves.

Only NumPy is needed beside the standard library, for the libraries that we are compared with import this file in
environments of their own.
"""

from typing import NamedTuple

import numpy as np

from transformer.spec import EOS, PAD, UNK

NUMBER = 4  # of the batches that are used again and again
_FIRST_WORD = UNK + 1
_SHORTEST = 0.75  # of the width


class Work(NamedTuple):
    """A model, its batches, and how it is trained; Table 3's names.

    Attributes:
      d_model, d_ff, heads: of every layer.
      layers: of the encoder, and of the decoder.
      vocabulary: words, which source, target and output share in one matrix.
      rows, width: of a batch, on both sides.
      dropout: of embeddings and of sub-layers' outputs, not of attention weights nor inside the feed-forward network.
      smoothing: of labels.
      dtype: of products; "float32" or "bfloat16" with float32 parameters.
    """

    d_model: int
    d_ff: int
    heads: int
    layers: int
    vocabulary: int
    rows: int
    width: int
    dropout: float = 0.1
    smoothing: float = 0.1
    dtype: str = "float32"

    @property
    def matmul_flops(self) -> int:
        """Operations of the products of one update, padding included: three times those of the forward pass."""
        cells = self.rows * self.width
        attention = 4 * self.d_model**2
        feed_forward = 2 * self.d_model * self.d_ff
        per_cell = self.layers * (3 * attention + 2 * feed_forward) + self.d_model * self.vocabulary
        # Scores and contexts: two products of [width, width] for each of three attentions a layer.
        looks = 3 * self.layers * 2 * self.width * self.d_model
        return 3 * 2 * cells * (per_cell + looks)


WORKS = {
    "TINY": Work(128, 256, 4, 4, 8000, rows=128, width=24),
    "SMALL": Work(256, 1024, 4, 3, 8000, rows=64, width=32),
    "BASE": Work(512, 2048, 8, 6, 32_000, rows=32, width=32),
    # Section 5.1's 25,000 tokens a side, on one device.
    "BIG": Work(1024, 4096, 16, 6, 32_000, rows=400, width=64),
}


class Batch(NamedTuple):
    """Sentences that end in EOS, and then PAD."""

    source_BS: np.ndarray
    target_BT: np.ndarray

    @property
    def tokens(self) -> int:
        """Of the target, which is what speeds are given in."""
        return int(np.count_nonzero(self.target_BT != PAD))


def batches(work: Work, number: int, seed: int = 0) -> list[Batch]:
    """Batches of sentences of 0.75 to 1 of the width, whose words are as unequally frequent as in a language.

    Something can be learnt of them, the frequencies, so that losses show whether all do the same.
    """
    chance = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, work.vocabulary - _FIRST_WORD + 1)
    frequency /= frequency.sum()

    def side() -> np.ndarray:
        shape = (work.rows, work.width)
        tokens = chance.choice(np.arange(_FIRST_WORD, work.vocabulary), shape, p=frequency)
        last = chance.integers(int(_SHORTEST * work.width), work.width + 1, (work.rows, 1)) - 1
        position = np.arange(work.width)
        return np.where(position < last, tokens, np.where(position == last, EOS, PAD)).astype(np.int32)

    return [Batch(side(), side()) for _ in range(number)]
