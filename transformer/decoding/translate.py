"""Translation of text: sentences become batches of token ids, a search runs on each, and its outputs become text."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from transformer.decoding.hypotheses import LOWEST, SearchResult
from transformer.spec import PAD

# From int32 source_BS, or from source_BS and prefix_BT; usually a compiled `search`.
Searcher = Callable[..., SearchResult]
Batcher = Callable[[list[list[int]]], Iterable[tuple[Any, np.ndarray]]]  # ids to (sentence indices, source_BS)

_IN_FLIGHT = 2  # batches dispatched to the device beyond the one whose result is being read
_PREFIX_WIDTH = 8  # narrowest array of prefixes


class Decoder(Protocol):
    """Converts token ids to text."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        ...


class TokenizerLike(Decoder, Protocol):
    """The part of a tokenizer that translation needs; ids exclude BOS and EOS."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        ...


class UnknownWordsLike(Protocol):
    """The part of `unknown_words.UnknownWords` that translation needs; ids are those of the source, without EOS."""

    def translate(self, source: str, ids: Sequence[int]) -> str | None:
        """The output for a source without any known word; None for others."""
        ...

    def decoder(self, source: str, ids: Sequence[int]) -> Decoder:
        """Decodes translations of the source."""
        ...


class Translation(NamedTuple):
    """One output for one sentence."""

    text: str
    score: float  # natural log-probability of `tokens` given the sentence, EOS included
    tokens: tuple[int, ...]  # with EOS, without BOS and PAD


NOT_FINITE = "no translation, because the model's outputs are not finite; use parameters from before they diverged"
EMPTY = Translation("", 0.0, ())  # of a line without text, which is not passed to the model


class SearchPass(NamedTuple):
    """A search and its batches. The search may leave some sentences without an output."""

    searcher: Searcher  # may return before the result is computed, as compiled functions do
    # Adds EOS to sentences and groups them into arrays with a fixed number of rows. Also gives the index of each row's
    # sentence; -1 and missing trailing indices stand for rows of only PAD. The width of a sentence's batch must depend
    # only on its own length. Otherwise the last digits of its score depend on the other sentences.
    batches: Batcher


class Translator:
    """Translates any number of sentences; the translation of a sentence does not depend on the others.

    Args:
      tokenizer: converts between text and ids.
      passes: searches in order; each gets the sentences for which the ones before found no output.
      unknown: replaces unknown words of outputs; default: they are decoded by the tokenizer.
    """

    def __init__(self, tokenizer: TokenizerLike, *passes: SearchPass, unknown: UnknownWordsLike | None = None) -> None:
        self._tokenizer = tokenizer
        self._passes = passes
        self._unknown = unknown

    def translate(
        self, sentences: Sequence[str], n_best: int = 1, prefixes: Sequence[Sequence[int]] = ()
    ) -> list[list[Translation]]:
        """Returns the `n_best` translations of each sentence, best first, in input order.

        Their texts are distinct. There are fewer if the search found fewer. A sentence without text has the single
        translation `EMPTY`.

        Args:
          sentences: the sentences.
          n_best: number of translations of a sentence.
          prefixes: for each sentence the target tokens with which its translations begin; default: none.

        Raises:
          ValueError: the search keeps fewer than `n_best` hypotheses, or `n_best` is not positive.
          FloatingPointError: the model's outputs for a sentence are not finite.
        """
        if n_best < 1:
            raise ValueError(f"n_best: {n_best} is not positive")
        ids = self._tokenizer.encode_batch(list(sentences))
        # Text of only spaces may have tokens, for which a model would generate something.
        pending = [index for index, tokens in enumerate(ids) if tokens and sentences[index].strip()]
        translations = [[EMPTY] for _ in sentences]
        if self._unknown:
            texts = {index: self._unknown.translate(sentences[index], ids[index]) for index in pending}
            for index, text in texts.items():
                translations[index] = [EMPTY if text is None else Translation(text, 0.0, ())]
            pending = [index for index in pending if texts[index] is None]
        for search_pass in self._passes:
            unfinished = []
            forced = [prefixes[index] if prefixes else () for index in pending]
            for rows, result in _search_batches(search_pass, [ids[index] for index in pending], forced):
                beams = result.tokens_BNT.shape[1]
                if n_best > beams:
                    raise ValueError(f"n_best: {n_best} translations requested, but the search keeps {beams}")
                tokens_BNT, scores_BN = np.asarray(result.tokens_BNT), np.asarray(result.scores_BN)
                for row, position in enumerate(rows):
                    if position < 0:
                        continue
                    index = int(pending[position])
                    decoder = self._decoder(sentences[index], ids[index])
                    best = decode_hypotheses(tokens_BNT[row], scores_BN[row], decoder, n_best)
                    translations[pending[position]] = best
                    unfinished += [] if best else [pending[position]]
            pending = sorted(unfinished)
        if pending:  # the last pass searches up to the limit of length, where every hypothesis ends
            raise FloatingPointError(f"sentence {pending[0] + 1}, {sentences[pending[0]]!r}: {NOT_FINITE}")
        return translations

    def _decoder(self, sentence: str, ids: list[int]) -> Decoder:
        return self._unknown.decoder(sentence, ids) if self._unknown else self._tokenizer


def _search_batches(
    search_pass: SearchPass, ids: list[list[int]], prefixes: Sequence[Sequence[int]]
) -> Iterator[tuple[Any, SearchResult]]:
    """Searches batch by batch, dispatching some ahead of the one that is yielded: the device works during the reads."""
    dispatched: deque[tuple[Any, SearchResult]] = deque()
    for indices, arrays in _batches(search_pass, ids, prefixes):
        dispatched.append((indices, search_pass.searcher(*arrays)))
        if len(dispatched) > _IN_FLIGHT:
            yield dispatched.popleft()
    yield from dispatched


def _batches(
    search_pass: SearchPass, ids: list[list[int]], prefixes: Sequence[Sequence[int]]
) -> Iterator[tuple[Any, tuple[np.ndarray, ...]]]:
    """Yields the indices and the arrays of each batch; its prefixes have the same padded width."""
    # The width depends on no other sentence, as that of the source.
    widths = [max(_PREFIX_WIDTH, 1 << (len(prefix) - 1).bit_length()) if prefix else 0 for prefix in prefixes]
    for width in sorted(set(widths)):
        group = [index for index, other in enumerate(widths) if other == width]
        for rows, source_BS in search_pass.batches([ids[index] for index in group]):
            indices = [group[row] if row >= 0 else -1 for row in rows]
            if not width:
                yield indices, (source_BS,)
                continue
            prefix_BT = np.full((len(source_BS), width), PAD, np.int32)
            for row, index in enumerate(indices):
                if index >= 0:
                    prefix_BT[row, : len(prefixes[index])] = prefixes[index]
            yield indices, (source_BS, prefix_BT)


def decode_hypotheses(tokens_NT: np.ndarray, scores_N: np.ndarray, decoder: Decoder, n_best: int) -> list[Translation]:
    """Returns the best `n_best` hypotheses of one sentence with distinct texts.

    Several segmentations into tokens can have the same text; the first, of highest rank, is kept. Empty entries are
    dropped.
    """
    translations: dict[str, Translation] = {}
    for tokens_T, score in zip(tokens_NT, scores_N, strict=True):
        if score > LOWEST / 2 and len(translations) < n_best:
            tokens = tuple(tokens_T[tokens_T != PAD].tolist())
            text = decoder.decode(tokens)
            translations.setdefault(text, Translation(text, float(score), tokens))
    return list(translations.values())
