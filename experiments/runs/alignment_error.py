"""Alignment error rate of cross-attention against the gold alignments of the generated corpus."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.runs.system import System
from transformer.analysis.alignment import Links, argmax_links, count_links
from transformer.analysis.subwords import word_attention, word_membership
from transformer.data.batches.forced import ForcedBatch, forced_batches
from transformer.data.corpus import Pair
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import DataSpec

# The rows of attention that stand for a target word: those that predict its pieces, or those that have just read them
# (Chen et al. 2020).
READOUTS = ("predicting", "having read")
_SENTENCES = 100  # scored at each evaluation of training
_BATCH_ROWS = 20

# (attention, head, readout) → rate. The head after the last stands for the mean over the heads of the layer.
Rates = dict[tuple[str, int, str], float]


class WordAlignment:
    """Word alignments from attention, of every head and of the mean over the heads of each layer.

    Args:
      data: settings of the generated corpus.
      tokenizer: tokenizer of the sentences.
      split: split of the sentences.
    """

    def __init__(self, data: DataSpec, tokenizer: Tokenizer, split: str) -> None:
        self._data, self._tokenizer, self._split = data, tokenizer, split
        self._links: dict[tuple[str, int, str], list[tuple[Links, Links]]] = {}
        self.skipped = 0  # sentences with a character that is not in the vocabulary

    def add(self, index: int, source_S: np.ndarray, target_T: np.ndarray, attention: Mapping[str, np.ndarray]) -> None:
        """Adds a sentence.

        Args:
          index: index of the sentence in its split.
          source_S: source ids with EOS.
          target_T: target ids with EOS.
          attention: name → weights_HTS of cross-attention; row t predicts token t.
        """
        try:
            gold, rows, columns = self._gold(index, source_S[:-1], target_T[:-1])
        except ValueError:
            self.skipped += 1
            return
        for name, weights_HTS in attention.items():
            for head, weights_TS in enumerate([*weights_HTS, weights_HTS.mean(axis=0)]):
                # Row t predicts token t, and row t + 1 has just read it; the last row is that of "</s>".
                for readout, word_rows in zip(READOUTS, (weights_TS[:-1], weights_TS[1:]), strict=True):
                    links = argmax_links(word_attention(word_rows, rows, columns), columns.shape[0] - 1)
                    self._links.setdefault((name, head, readout), []).append((links, gold))

    def rates(self) -> Rates:
        """Returns the alignment error rates over all sentences added so far; 0 is perfect."""
        return {key: count_links(links).error_rate for key, links in self._links.items()}

    def _gold(self, index: int, source: np.ndarray, target: np.ndarray) -> tuple[Links, np.ndarray, np.ndarray]:
        """Returns gold links (target word, source word) and the pieces of each word; "</s>" is the last source word."""
        from transformer.data import grammar

        example = grammar.generate(self._split, index)
        from_french = self._data.source_language == "fr"
        words = (example.french_words, example.english_words)[:: 1 if from_french else -1]
        pieces, normalize = self._tokenizer.pieces, self._tokenizer.normalize
        columns = word_membership(pieces(source.tolist()), normalize(words[0]))
        columns = np.pad(columns, ((0, 1), (0, 1)))
        columns[-1, -1] = 1
        gold = frozenset((j, i) if from_french else (i, j) for i, j in example.alignment)
        return gold, word_membership(pieces(target.tolist()), normalize(words[1])), columns


class AlignmentMonitor:
    """Computes the alignment error rates of parameters on the first sentences of a split, during training.

    Args:
      system: the system that is trained.
      pairs: pairs of the split.
    """

    def __init__(self, system: System, pairs: Sequence[Pair]) -> None:
        self._system = system
        self._pairs = list(pairs[:_SENTENCES]) if system.spec.data.source == "grammar" else []
        self._compiled = system.partitioner.compile_eval(self._attend)

    def _attend(self, params: Any, source_BS: jax.Array, input_BT: jax.Array) -> dict[str, jax.Array]:
        model = self._system.model(params)
        attention = model.decode(model.encode(source_BS), input_BT).attention
        return {name: weights for name, weights in attention.items() if name.startswith("cross/")}

    @functools.cached_property
    def _batches(self) -> list[ForcedBatch]:
        """Created at the first evaluation, so that the first update is not delayed. Empty without cross-attention."""
        if not self._pairs:
            return []
        system = self._system
        batches = forced_batches(system.tokenizer, self._pairs, system.partitioner.padded_rows(_BATCH_ROWS))
        return batches if jax.eval_shape(self._attend, system.param_shapes, *batches[0][1:3]) else []

    def __call__(self, params: Any) -> dict[str, float]:
        """Returns the rate of each head, "alignment_error/cross/0/1", and of a layer's mean, "alignment_error/cross/0".

        The better of both readouts counts. Empty without gold alignments or without cross-attention.
        """
        system, shard, head_counts = self._system, self._system.partitioner.shard, dict[str, int]()
        word_alignment = WordAlignment(system.spec.data, system.tokenizer, system.spec.data.validation_split)
        for batch in self._batches:
            weights = jax.device_get(self._compiled(params, shard(batch.source_BS), shard(batch.input_BT)))
            head_counts = {name: weights_BHTS.shape[1] for name, weights_BHTS in weights.items()}
            for index, sentence, attention in batch.unpadded(weights):
                word_alignment.add(index, sentence.source_BS, sentence.target_BT, attention)
        best = dict[str, float]()
        for (name, head, _), rate in word_alignment.rates().items():
            if head_counts[name] == 1 and head == 1:
                continue  # the mean of a single head is that head
            key = f"alignment_error/{name}" + (f"/{head}" if head < head_counts[name] else "")
            best[key] = min(rate, best.get(key, 1.0))
        return best
