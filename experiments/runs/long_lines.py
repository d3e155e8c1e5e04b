"""Lines of any length: those that are too long are split for a search, or refused for a loss, by one rule for all."""

from collections.abc import Callable, Sequence

import numpy as np

from experiments.runs.target_prefixes import TargetPrefixes
from transformer.data.token_dataset import TokenizedPairs
from transformer.data.tokenizers.input_text import InputText
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding.sentence_split import join_translations, split_text
from transformer.decoding.translate import EMPTY, Translation, Translator
from transformer.spec import Spec


def max_input_tokens(spec: Spec) -> int:
    """Returns the largest number of tokens, without EOS, that a model translates at once: the longest of training."""
    return max(spec.data.max_length - 1, 1)


def max_pair_tokens(spec: Spec) -> int:
    """Returns the largest number of tokens, with EOS, of a side of a pair whose loss is computed: those of a batch."""
    learned = "learned" in (spec.model.positions, spec.model.decoder_positions)
    return min(spec.data.tokens_per_batch, spec.model.max_positions) if learned else spec.data.tokens_per_batch


def split_line(line: str, limit: int, tokenizer: Tokenizer) -> list[str]:
    """Returns the parts of a line that are translated one by one: the line itself if it has at most `limit` tokens.

    Args:
      line: the text.
      limit: largest number of tokens of a part; 0: lines are never split.
      tokenizer: counts tokens.

    Raises:
      ValueError: a single character has more than `limit` tokens.
    """
    # The number of characters is no bound: normalization may turn one into several, each of which may be a token.
    return split_text(line, limit, lambda text: len(tokenizer.encode(text))) if limit else [line]


def check_pair_lengths(pairs: TokenizedPairs, limit: int, place: Callable[[int], str]) -> None:
    """Checks that each side of a pair has at most `limit` tokens, EOS included.

    Args:
      pairs: the pairs.
      limit: the limit.
      place: names the pair at an index of the split, for the message.

    Raises:
      ValueError: a pair is longer; the message names the first such pair and its length.
    """
    source, target = pairs.lengths
    if len(long := np.flatnonzero(np.maximum(source, target) > limit)):
        first = int(long[0])
        others = f" ({len(long) - 1} other pairs are too long as well)" if len(long) > 1 else ""
        raise ValueError(
            f"{place(int(pairs.positions[first]))}: the pair has {source[first]} and {target[first]} tokens, but a "
            f"batch holds at most {limit} of a side{others}; split the pair into sentences, or remove it"
        )


class LongLineTranslator:
    """Translates lines, and splits those that are too long into parts.

    Args:
      translator: translates sentences.
      tokenizer: counts tokens.
      limit: as for `split_line`.
      warn: called with a message for every line that is split, and for every line with unknown characters.
      input_text: replaces characters that the vocabulary lacks; default: they stay.
    """

    def __init__(
        self,
        translator: Translator,
        tokenizer: Tokenizer,
        limit: int,
        warn: Callable[[str], None] = lambda message: None,
        input_text: InputText | None = None,
    ) -> None:
        self._translator, self._tokenizer, self._limit, self._warn = translator, tokenizer, limit, warn
        self._input_text = input_text

    def translate(
        self, lines: Sequence[str], n_best: int = 1, first: int = 1, prefixes: Sequence[str] = ()
    ) -> list[list[Translation]]:
        """Returns the `n_best` translations of each line, best first.

        Args:
          lines: the lines.
          n_best: number of translations of a line; fewer if the search finds fewer.
          first: number of the first line, for messages.
          prefixes: for each line the words with which its translations begin; default: none.

        Raises:
          ValueError: as for `Translator.translate`, or a line cannot be split.
          FloatingPointError: as for `Translator.translate`.
        """
        lines_parts = [self._split(line, first + index) for index, line in enumerate(self._read(lines, first))]
        parts = [part for line_parts in lines_parts for part in line_parts]
        if any(prefixes):
            forced = TargetPrefixes(prefixes, list(map(len, lines_parts)), self._tokenizer, self._input_text)
            translations = iter(forced.spell(self._translator.translate(parts, n_best, forced.ids)))
        else:
            translations = iter(self._translator.translate(parts, n_best))
        return [join_translations([next(translations) for _ in line_parts]) or [EMPTY] for line_parts in lines_parts]

    def _read(self, lines: Sequence[str], first: int) -> Sequence[str]:
        """Returns the lines as the model reads them."""
        if self._input_text is None:
            return lines
        input_lines = self._input_text.read(lines)
        for number, line in enumerate(input_lines, first):
            if warning := line.warning(number):
                self._warn(warning)
        return [line.text for line in input_lines]

    def _split(self, line: str, number: int) -> list[str]:
        try:
            parts = split_line(line, self._limit, self._tokenizer)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if len(parts) > 1:
            count = len(self._tokenizer.encode(line))
            self._warn(
                f"line {number} has {count} tokens, and the model was trained on at most {self._limit}: "
                f"it is translated in {len(parts)} parts, split between sentences where possible"
            )
        return parts
