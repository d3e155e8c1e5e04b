"""Words with which translations begin: their tokens for the search, and their spelling in its outputs."""

from collections.abc import Sequence

from transformer.data.tokenizers.input_text import InputText
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding.sentence_split import split_codes
from transformer.decoding.translate import Translation


class TargetPrefixes:
    """The target prefix of each part of some lines.

    The words of a prefix begin the first part of a line. Language codes at its start begin every part.

    Args:
      prefixes: the prefix of each line; an empty text is none.
      part_counts: number of parts of each line.
      tokenizer: of source and target text.
      input_text: replaces characters that the vocabulary lacks; default: they stay.
    """

    def __init__(
        self,
        prefixes: Sequence[str],
        part_counts: Sequence[int],
        tokenizer: Tokenizer,
        input_text: InputText | None = None,
    ) -> None:
        self._texts = []
        for prefix, count in zip(prefixes, part_counts, strict=True):
            text = prefix.strip()
            self._texts += [text if part == 0 else split_codes(text)[0].strip() for part in range(count)]
        self._tokenizer = tokenizer.for_target
        texts = [line.text for line in input_text.read(self._texts)] if input_text else self._texts
        self.ids = self._tokenizer.encode_batch(texts)

    def spell(self, translations: Sequence[Sequence[Translation]]) -> list[list[Translation]]:
        """Returns the translations of each part with the prefix as it was given: also its unknown words, its case."""
        return [
            [self._spelled(translation, text, ids) for translation in hypotheses]
            for hypotheses, text, ids in zip(translations, self._texts, self.ids, strict=True)
        ]

    def _spelled(self, translation: Translation, text: str, ids: Sequence[int]) -> Translation:
        if not ids or not translation.tokens:
            return translation
        decoded = self._tokenizer.decode(ids)
        # In the text of the translation, other words may stand for unknown words of the prefix.
        for output in (translation.text, self._tokenizer.decode(translation.tokens)):
            if output.startswith(decoded):
                return translation._replace(text=text + output[len(decoded) :])
        return translation
