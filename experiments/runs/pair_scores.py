"""Log-probabilities of given translations, for any number of pairs."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from experiments.runs.long_lines import max_input_tokens
from experiments.runs.system import System
from transformer.data.batches.forced import batches_by_width
from transformer.data.pairs import Pair
from transformer.training.state import Params

_MAX_TOKENS = 2048  # rows × width of a batch: its logits take this times the vocabulary


class PairScore(NamedTuple):
    """The score of a translation; NaN for a pair that is too long.

    Attributes:
      log_probability: natural logarithm of the probability of the target given the source, EOS included.
      tokens: number of target tokens, EOS included.
    """

    log_probability: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """The perplexity of a token; infinite if it exceeds the range of floats."""
        mean = -self.log_probability / self.tokens
        return math.inf if mean > 700 else math.exp(mean)


class PairScorer:
    """Computes the log-probabilities of translations.

    Args:
      system: the model.
      params: its parameters.
      rows: pairs in a batch, at most; it affects only the speed.
      limit: pairs with a longer side, in tokens, are not scored; None: the limit of training; 0: no limit.
      warn: called with a message for every pair that is too long or has unknown characters.
    """

    def __init__(
        self, system: System, params: Params, rows: int, limit: int | None, warn: Callable[[str], None]
    ) -> None:
        self._system, self._params, self._rows, self._warn = system, params, rows, warn
        self._limit = max_input_tokens(system.spec) if limit is None else limit

    def score(self, pairs: Sequence[Pair], first: int = 1) -> list[PairScore]:
        """Returns the score of each pair; `first` is the number of the first pair, for messages."""
        tokenizer, pairs = self._system.tokenizer, self._system.read_pairs(pairs, self._warn, first)
        sources = tokenizer.encode_batch(self._read([pair.source for pair in pairs], first))
        targets = tokenizer.for_target.encode_batch(self._read([pair.target for pair in pairs], first))
        scores = [PairScore(math.nan, len(target) + 1) for target in targets]
        short = [index for index in range(len(pairs)) if self._fits(sources[index], targets[index], first + index)]
        partitioner = self._system.partitioner
        batches = batches_by_width(
            [sources[index] for index in short],
            [targets[index] for index in short],
            self._rows,
            _MAX_TOKENS,
            partitioner.padded_rows(1),
        )
        compute = self._system.functions.target_scores
        # All batches are dispatched before the first read.
        results = [(batch, compute(self._params, *map(partitioner.shard, batch[1:]))) for batch in batches]
        for batch, score_B in results:
            for index, score in zip(batch.indices, np.asarray(score_B).tolist(), strict=False):
                scores[short[index]] = scores[short[index]]._replace(log_probability=score)
        return scores

    def _read(self, texts: Sequence[str], first: int) -> list[str]:
        """Returns the texts as the model reads them."""
        lines = self._system.input_text.read(texts)
        for number, line in enumerate(lines, first):
            if warning := line.warning(number):
                self._warn(warning)
        return [line.text for line in lines]

    def _fits(self, source: Sequence[int], target: Sequence[int], number: int) -> bool:
        if not self._limit or max(len(source), len(target)) <= self._limit:
            return True
        self._warn(
            f"line {number} has {len(source)} and {len(target)} tokens, and the model was trained on at most "
            f"{self._limit}: the pair is not scored; --max_length=0 scores pairs of any length"
        )
        return False
