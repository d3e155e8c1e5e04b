"""Lines of any length: those that are longer than what a model was trained on are translated in parts."""

from collections.abc import Callable, Sequence

from transformer.data.batches.evaluation import grid_width
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding import sentence_split
from transformer.decoding.translate import EMPTY, Translation, Translator
from transformer.spec import Spec


def longest(spec: Spec) -> int:
    """Most tokens of a text, without EOS, that a run's model reads at once: what it saw in training.

    With learned positions there are none beyond their number: a batch's width and what an output may add must fit.
    """
    limit = spec.data.max_length - 1
    learned = "learned" in (spec.model.positions, spec.model.decoder_positions)
    while learned and limit > 0 and grid_width(limit + 1) + spec.decode.max_extra_length > spec.model.max_positions:
        limit = min(grid_width(limit + 1) // 2, limit) - 1
    return max(limit, 1)


class Whole:
    """Translates lines, in parts where they are too long.

    Args:
      translator: of sentences.
      tokenizer: counts tokens.
      limit: most tokens of a part; 0: lines are never divided.
      warn: is told of every line that is divided.
    """

    def __init__(self, translator: Translator, tokenizer: Tokenizer, limit: int, warn: Callable[[str], None]) -> None:
        self._translator, self._tokenizer, self._limit, self._warn = translator, tokenizer, limit, warn

    def translate(self, lines: Sequence[str], n_best: int = 1, first: int = 1) -> list[list[Translation]]:
        """The `n_best` translations of each line, as `Translator.translate`; `first` is the first line's number."""
        pieces = [self._parts(line, first + place) for place, line in enumerate(lines)]
        found = iter(self._translator.translate([part for each in pieces for part in each], n_best))
        return [sentence_split.joined([next(found) for _ in each]) or [EMPTY] for each in pieces]

    def _parts(self, line: str, number: int) -> list[str]:
        # A token has one character at least, but for one that stands for a space.
        if not self._limit or len(line) < self._limit:
            return [line]
        divided = sentence_split.parts(line, self._limit, lambda text: len(self._tokenizer.encode(text)))
        if len(divided) > 1:
            count = len(self._tokenizer.encode(line))
            self._warn(
                f"line {number} has {count} tokens, and the model was trained on {self._limit} at most: "
                f"it is translated in {len(divided)} parts, divided where sentences end, or else within them"
            )
        return divided
