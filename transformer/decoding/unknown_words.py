"""Unknown words: what stands in an output for tokens that the vocabulary lacks, and sentences of only such words."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from transformer.decoding.sentence_split import split_codes
from transformer.spec import UNK, UNKNOWN_POLICIES

MARK = "⁇"  # the text of UNK

# Letters and digits of scripts that separate words by spaces. Elsewhere, a character is a word.
_LETTER = r"(?:(?=[\u0000-\u0dff\u10a0-\u10ff\u1200-\u16ff\u1e00-\u1fff\uac00-\ud7af])\w)"
_MARKED = re.compile(f"{_LETTER}*(?:{MARK}{_LETTER}*)+")  # a word of an output with unknown tokens
_PLACEHOLDER = "\ue000"  # stands for an unknown character of the source
_SOURCE_WORD = re.compile(rf"(?:{_LETTER}|{_PLACEHOLDER})+|\w")

# From the ids of a source sentence without EOS and those of its translation with EOS to the attention with which each
# token of the translation is predicted, [T, S]; a last column of EOS is ignored. None: the model has no attention.
Attention = Callable[[Sequence[int], Sequence[int]], np.ndarray | None]


class _UnknownWord(NamedTuple):
    """A word of an output: its characters, and the positions of its unknown tokens."""

    start: int
    end: int
    rows: list[int]


class TokenizerLike(Protocol):
    """The part of a tokenizer that unknown words need; ids exclude BOS and EOS."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        ...

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The piece of each id."""
        ...

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """The first and the end (exclusive) character of each id."""
        ...


class UnknownWords:
    """Replaces unknown words of outputs, and translates sentences of only unknown words.

    The policy "copy" replaces a word that has an unknown token by the word of the source with the most attention.
    Without attention, the k-th unknown word of the output becomes the k-th of the source, and is left out if there is
    none. "show" prints "⁇" for unknown tokens, and "drop" leaves out words that have one.

    Args:
      tokenizer: converts between text and ids.
      policy: one of `spec.UNKNOWN_POLICIES`.
      attention: computes cross-attention; called only for outputs with unknown tokens.
      uncovered: returns the text of a source without any known word, without language codes; None for other sources.
    """

    def __init__(
        self, tokenizer: TokenizerLike, policy: str, attention: Attention, uncovered: Callable[[str], str | None]
    ) -> None:
        if policy not in UNKNOWN_POLICIES:
            raise ValueError(f"unknown: {policy!r} is not one of {', '.join(UNKNOWN_POLICIES)}")
        self._tokenizer, self._policy, self._attention, self._uncovered = tokenizer, policy, attention, uncovered

    def translate(self, source: str, ids: Sequence[int]) -> str | None:
        """Returns the output for a source without any known word, which a model cannot translate; None for others."""
        if UNK not in ids or (text := self._uncovered(source)) is None:
            return None
        if self._policy == "copy":
            return text
        return " ".join(MARK for _ in text.split()) if self._policy == "show" else ""

    def decoder(self, source: str, ids: Sequence[int]) -> "SourceDecoder":
        """Returns an object that decodes translations of a source; `ids` are those of the source, without EOS."""
        return SourceDecoder(self, source, ids)

    def decode(self, source: str, ids: Sequence[int], tokens: Sequence[int]) -> str:
        """Returns the text of a translation; `ids` are those of the source without EOS, `tokens` end with EOS."""
        text = self._tokenizer.decode(tokens)
        if UNK not in tokens or self._policy == "show":
            return text
        words = list(self._unknown_words(text, tokens))
        copies = [""] * len(words) if self._policy == "drop" else self._copies(source, ids, tokens, words)
        output, end = "", 0
        for word, copy in zip(words, copies, strict=True):
            output, end = output + text[end : word.start] + copy, word.end
            follows = text[end : end + 1]
            if not copy and output.endswith(" ") and (not follows or follows in ".,"):
                output = output[:-1]
            elif not copy and follows == " " and (not output or output.endswith(" ")):
                end += 1
        return output + text[end:]

    def _unknown_words(self, text: str, tokens: Sequence[int]) -> Iterator[_UnknownWord]:
        rows: list[int | None] = []  # of each mark; None: the character itself
        for row, (token, piece) in enumerate(zip(tokens, self._tokenizer.pieces(tokens), strict=True)):
            rows += [row] if token == UNK else [None] * piece.count(MARK)
        remaining = iter(rows)
        for match in _MARKED.finditer(text):
            unknown = [row for _ in range(match[0].count(MARK)) if (row := next(remaining, None)) is not None]
            if unknown:
                yield _UnknownWord(*match.span(), unknown)

    def _copies(
        self, source: str, ids: Sequence[int], tokens: Sequence[int], words: Sequence[_UnknownWord]
    ) -> Sequence[str]:
        """Returns the word of the source for each unknown word of an output."""
        spans = self._tokenizer.token_spans(source)
        missing = {i for (start, end), token in zip(spans, ids, strict=True) if token == UNK for i in range(start, end)}
        masked = "".join(_PLACEHOLDER if index in missing else character for index, character in enumerate(source))
        source_words = [match.span() for match in _SOURCE_WORD.finditer(masked, len(split_codes(source)[0]))]
        weights_TS = self._attention(ids, tokens)
        if weights_TS is None:
            unknown = [source[start:end] for start, end in source_words if _PLACEHOLDER in masked[start:end]]
            return [*unknown, *[""] * len(words)][: len(words)]

        def copy(word: _UnknownWord) -> str:
            weights_S = weights_TS[word.rows].mean(axis=0)
            best = max(source_words, key=lambda span: _overlap(span, spans, weights_S), default=(0, 0))
            return source[slice(*best)]

        return [copy(word) for word in words]


class SourceDecoder(NamedTuple):
    """Decodes translations of one source sentence."""

    unknown_words: UnknownWords
    source: str
    source_ids: Sequence[int]

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of a translation, without unknown words."""
        return self.unknown_words.decode(self.source, self.source_ids, ids)


def _overlap(word: tuple[int, int], spans: Sequence[tuple[int, int]], weights_S: np.ndarray) -> float:
    """Returns the attention to the tokens of a source word."""
    return sum(float(weights_S[i]) for i, (start, end) in enumerate(spans) if start < word[1] and word[0] < end)
