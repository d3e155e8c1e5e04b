"""Translates lines of any length: splits lines that are longer than the sentences that the model was trained on."""

from collections.abc import Callable, Sequence

from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding.sentence_split import join_translations, split_text
from transformer.decoding.translate import EMPTY, Translation, Translator
from transformer.spec import Spec


def max_input_tokens(spec: Spec) -> int:
    """Returns the largest number of tokens, without EOS, that a model translates at once: the longest of training."""
    return max(spec.data.max_length - 1, 1)


class LongLineTranslator:
    """Translates lines, and splits those that are too long into parts.

    Args:
      translator: translates sentences.
      tokenizer: counts tokens.
      limit: largest number of tokens of a part; 0: lines are never split.
      warn: called with a message for every line that is split.
    """

    def __init__(self, translator: Translator, tokenizer: Tokenizer, limit: int, warn: Callable[[str], None]) -> None:
        self._translator, self._tokenizer, self._limit, self._warn = translator, tokenizer, limit, warn

    def translate(self, lines: Sequence[str], n_best: int = 1, first: int = 1) -> list[list[Translation]]:
        """Returns the `n_best` translations of each line; `first` is the number of the first line, for warnings."""
        lines_parts = [self._split(line, first + index) for index, line in enumerate(lines)]
        parts = [part for line_parts in lines_parts for part in line_parts]
        translations = iter(self._translator.translate(parts, n_best))
        return [join_translations([next(translations) for _ in line_parts]) or [EMPTY] for line_parts in lines_parts]

    def _split(self, line: str, number: int) -> list[str]:
        if not self._limit:
            return [line]
        # The number of characters is no bound: normalization may turn one into several, each of which may be a token.
        parts = split_text(line, self._limit, lambda text: len(self._tokenizer.encode(text)))
        if len(parts) > 1:
            count = len(self._tokenizer.encode(line))
            self._warn(
                f"line {number} has {count} tokens, and the model was trained on at most {self._limit}: "
                f"it is translated in {len(parts)} parts, split between sentences where possible"
            )
        return parts
