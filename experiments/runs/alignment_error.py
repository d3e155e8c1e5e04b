"""Alignment error rate of cross-attention against the generated corpus's gold links: of a run, and as it is trained."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.runs.system import System
from transformer.analysis import alignment
from transformer.analysis.subwords import join, of_words
from transformer.data.batches.forced import ForcedBatch, forced_batches
from transformer.data.corpus import Pair
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import DataSpec

# A target word's rows: those that predict its pieces, or those that have just read them (Chen et al. 2020).
WHEN = ("predicting", "having read")
_WATCHED = 100  # sentences, while a run is trained
_ROWS = 20  # of them at a time

Rates = dict[tuple[str, int, str], float]  # by attention, head and when; the head after the last is the mean of all


class WordAlignment:
    """Links of every head and of the mean over each layer's heads, sentence by sentence.

    Args:
      data: settings of the generated corpus.
      tokenizer: what sentences were divided with.
      split: the sentences' split.
    """

    def __init__(self, data: DataSpec, tokenizer: Tokenizer, split: str) -> None:
        self._data, self._tokenizer, self._split = data, tokenizer, split
        self._links: dict[tuple[str, int, str], list[tuple[alignment.Links, alignment.Links]]] = {}
        self.left_out = 0  # sentences with a character that the vocabulary does not have

    def add(self, index: int, source_S: np.ndarray, target_T: np.ndarray, attention: Mapping[str, np.ndarray]) -> None:
        """Adds a sentence.

        Args:
          index: of the sentence in its split.
          source_S: ids with EOS.
          target_T: likewise.
          attention: weights_HTS of cross-attention, by name; row t predicts token t.
        """
        try:
            gold, rows, columns = self._gold(index, source_S[:-1], target_T[:-1])
        except ValueError:
            self.left_out += 1
            return
        for name, weights_HTS in attention.items():
            for head, weights in enumerate([*weights_HTS, weights_HTS.mean(axis=0)]):
                # Row t predicts token t, and row t + 1 has just read it; the last row is that of "</s>".
                for when, part in zip(WHEN, (weights[:-1], weights[1:]), strict=True):
                    found = alignment.strongest(join(part, rows, columns), columns.shape[0] - 1)
                    self._links.setdefault((name, head, when), []).append((found, gold))

    def rates(self) -> Rates:
        """Of all sentences so far, 0 is perfect."""
        return {key: alignment.compare(each).error_rate for key, each in self._links.items()}

    def _gold(
        self, index: int, source: np.ndarray, target: np.ndarray
    ) -> tuple[alignment.Links, np.ndarray, np.ndarray]:
        """Gold links of a pair as (target word, source word), and pieces in words; "</s>" is the last source word."""
        from transformer.data import grammar

        example = grammar.generate(self._split, index)
        from_french = self._data.source_language == "fr"
        words = (example.french_words, example.english_words)[:: 1 if from_french else -1]
        pieces, spelled = self._tokenizer.pieces, self._tokenizer.spelled
        columns = of_words(pieces(source.tolist()), spelled(words[0]))
        columns = np.pad(columns, ((0, 1), (0, 1)))
        columns[-1, -1] = 1
        gold = frozenset((j, i) if from_french else (i, j) for i, j in example.alignment)
        return gold, of_words(pieces(target.tolist()), spelled(words[1])), columns


class Watched:
    """The rates of a system's cross-attention on the first sentences of a split, whenever parameters are given.

    Args:
      system: what is trained.
      pairs: the split.
    """

    def __init__(self, system: System, pairs: Sequence[Pair]) -> None:
        self._system = system
        self._pairs = list(pairs[:_WATCHED]) if system.spec.data.source == "grammar" else []
        self._compiled = system.placement.compile_rows(self._attend)

    def _attend(self, params: Any, source_BS: jax.Array, input_BT: jax.Array) -> dict[str, jax.Array]:
        model = self._system.model(params)
        attention = model.decode(model.encode(source_BS), input_BT).attention
        return {name: weights for name, weights in attention.items() if name.startswith("cross/")}

    @functools.cached_property
    def _batches(self) -> list[ForcedBatch]:
        """Made at the first evaluation: the first update does not wait for them. None where nothing attends."""
        if not self._pairs:
            return []
        system = self._system
        batches = forced_batches(system.tokenizer, self._pairs, system.placement.rows(_ROWS))
        return batches if jax.eval_shape(self._attend, system.shapes, *batches[0][1:3]) else []

    def __call__(self, params: Any) -> dict[str, float]:
        """The rate of each head, "alignment_error/cross/0/1", and of the mean of a layer's, "alignment_error/cross/0".

        Of both ways to read links off, the better. Empty without gold alignments or without cross-attention.
        """
        system, shard, heads = self._system, self._system.placement.shard, dict[str, int]()
        found = WordAlignment(system.spec.data, system.tokenizer, system.spec.data.validation_split)
        for batch in self._batches:
            weights = jax.device_get(self._compiled(params, shard(batch.source_BS), shard(batch.input_BT)))
            heads = {name: each.shape[1] for name, each in weights.items()}
            for index, one, attention in batch.apart(weights):
                found.add(index, one.source_BS, one.target_BT, attention)
        best = dict[str, float]()
        for (name, head, _), rate in found.rates().items():
            if heads[name] == 1 and head == 1:
                continue  # the mean of one head is that head
            key = f"alignment_error/{name}" + (f"/{head}" if head < heads[name] else "")
            best[key] = min(rate, best.get(key, 1.0))
        return best
