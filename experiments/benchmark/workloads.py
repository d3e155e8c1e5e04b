"""Benchmark workloads: sizes of models and batches that every library supports, and the batches themselves.

Needs only NumPy and the standard library: the peers import this file in their own virtual environments.
"""

from typing import NamedTuple

import numpy as np

from transformer.spec import EOS, PAD, UNK

NUM_BATCHES = 4  # batches that a peer cycles through
_FIRST_WORD = UNK + 1
_MIN_LENGTH = 0.75  # of the width


class Workload(NamedTuple):
    """A model, its batches and its training settings, in the notation of Table 3.

    Attributes:
      d_model, d_ff, heads: sizes of every layer.
      layers: layers of the encoder, and of the decoder.
      vocabulary: words of the vocabulary; source, target and output share one embedding matrix.
      rows, width: shape of a batch, on both sides.
      dropout: dropout rate of embeddings and sublayer outputs; not of attention weights or inside the feed-forward
        network.
      smoothing: label smoothing.
      dtype: dtype of the matmuls, "float32" or "bfloat16"; parameters are float32.
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
        """Matmul FLOPs of one update, padding included: three times those of the forward pass."""
        positions = self.rows * self.width
        attention = 4 * self.d_model**2
        feed_forward = 2 * self.d_model * self.d_ff
        per_position = self.layers * (3 * attention + 2 * feed_forward) + self.d_model * self.vocabulary
        # Scores and contexts: two [width, width] matmuls for each of three attentions per layer.
        attention_matrices = 3 * self.layers * 2 * self.width * self.d_model
        return 3 * 2 * positions * (per_position + attention_matrices)


WORKLOADS = {
    "TINY": Workload(128, 256, 4, 4, 8000, rows=128, width=24),
    "SMALL": Workload(256, 1024, 4, 3, 8000, rows=64, width=32),
    "BASE": Workload(512, 2048, 8, 6, 32_000, rows=32, width=32),
    # 25,000 tokens per side, as in Section 5.1, on one device.
    "BIG": Workload(1024, 4096, 16, 6, 32_000, rows=400, width=64),
}


class SentenceBatch(NamedTuple):
    """Token ids of sentences that end in EOS, followed by PAD."""

    source_BS: np.ndarray
    target_BT: np.ndarray

    @property
    def tokens(self) -> int:
        """Number of target tokens, the unit of the reported speeds."""
        return int(np.count_nonzero(self.target_BT != PAD))


def make_batches(workload: Workload, count: int, seed: int = 0) -> list[SentenceBatch]:
    """Returns batches of random sentences whose lengths are 0.75 to 1 of the width.

    Word frequencies follow Zipf's law, as in natural language. A model can learn them, so that the losses show whether
    all libraries train the same model.
    """
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, workload.vocabulary - _FIRST_WORD + 1)
    frequency /= frequency.sum()

    def side() -> np.ndarray:
        shape = (workload.rows, workload.width)
        tokens = rng.choice(np.arange(_FIRST_WORD, workload.vocabulary), shape, p=frequency)
        last = rng.integers(int(_MIN_LENGTH * workload.width), workload.width + 1, (workload.rows, 1)) - 1
        position = np.arange(workload.width)
        return np.where(position < last, tokens, np.where(position == last, EOS, PAD)).astype(np.int32)

    return [SentenceBatch(side(), side()) for _ in range(count)]
