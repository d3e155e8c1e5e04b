"""Translation of text: sentences become batches of token ids, a search runs on each, and its outputs become text."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from transformer.decoding.hypotheses import LOWEST, SearchResult
from transformer.spec import PAD

Searcher = Callable[[np.ndarray], SearchResult]  # from int32 source_BS; usually a compiled `search`
Batcher = Callable[[list[list[int]]], Iterable[tuple[Any, np.ndarray]]]  # ids to (sentence indices, source_BS)

_IN_FLIGHT = 2  # batches dispatched to the device beyond the one whose result is being read


class TokenizerLike(Protocol):
    """The part of a tokenizer that translation needs; ids exclude BOS and EOS."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
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
    """

    def __init__(self, tokenizer: TokenizerLike, *passes: SearchPass) -> None:
        self._tokenizer = tokenizer
        self._passes = passes

    def translate(self, sentences: Sequence[str], n_best: int = 1) -> list[list[Translation]]:
        """Returns the `n_best` translations of each sentence, best first, in input order.

        There are fewer if the search found fewer. A sentence without text has the single translation `EMPTY`.

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
        for search_pass in self._passes:
            unfinished = []
            for rows, result in _search_batches(search_pass, [ids[index] for index in pending]):
                beams = result.tokens_BNT.shape[1]
                if n_best > beams:
                    raise ValueError(f"n_best: {n_best} translations requested, but the search keeps {beams}")
                tokens_BNT, scores_BN = np.asarray(result.tokens_BNT), np.asarray(result.scores_BN)
                for row, position in enumerate(rows):
                    if position < 0:
                        continue
                    best = decode_hypotheses(tokens_BNT[row, :n_best], scores_BN[row, :n_best], self._tokenizer)
                    translations[pending[position]] = best
                    unfinished += [] if best else [pending[position]]
            pending = sorted(unfinished)
        if pending:  # the last pass searches up to the limit of length, where every hypothesis ends
            raise FloatingPointError(f"sentence {pending[0] + 1}, {sentences[pending[0]]!r}: {NOT_FINITE}")
        return translations


def _search_batches(search_pass: SearchPass, ids: list[list[int]]) -> Iterator[tuple[Any, SearchResult]]:
    """Searches batch by batch, dispatching some ahead of the one that is yielded: the device works during the reads."""
    dispatched: deque[tuple[Any, SearchResult]] = deque()
    for indices, source_BS in search_pass.batches(ids) if ids else ():
        dispatched.append((indices, search_pass.searcher(source_BS)))
        if len(dispatched) > _IN_FLIGHT:
            yield dispatched.popleft()
    yield from dispatched


def decode_hypotheses(tokens_NT: np.ndarray, scores_N: np.ndarray, tokenizer: TokenizerLike) -> list[Translation]:
    """Returns the hypotheses of one sentence as translations; empty entries are dropped."""
    translations = []
    for tokens_T, score in zip(tokens_NT, scores_N, strict=True):
        if score > LOWEST / 2:
            tokens = tuple(tokens_T[tokens_T != PAD].tolist())
            translations.append(Translation(tokenizer.decode(tokens), float(score), tokens))
    return translations
