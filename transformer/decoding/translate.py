"""Text in, text out: sentences become batches of token ids, a search runs on each, and its outputs become text."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from transformer.decoding.hypotheses import LOWEST, Found
from transformer.spec import PAD

Searcher = Callable[[np.ndarray], Found]  # int32 source_BS to what is found, usually a compiled `search`
Batches = Callable[[list[list[int]]], Iterable[tuple[Any, np.ndarray]]]  # ids to (which sentences, source_BS)

_IN_FLIGHT = 2  # batches the device has been given beyond the one whose result is being read


class Tokenizer(Protocol):
    """What translation needs of a tokenizer: ids without BOS and EOS, and back."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some token ids."""
        ...


class Translation(NamedTuple):
    """One output for one sentence."""

    text: str
    score: float  # natural log-probability of `tokens` given the sentence, EOS included
    tokens: tuple[int, ...]  # with EOS, without BOS and PAD


EMPTY = Translation("", 0.0, ())  # of a line without text, which no model sees


class Attempt(NamedTuple):
    """How sentences are searched, some of which it may find nothing for."""

    searcher: Searcher  # like compiled functions it may return before what it has found is known
    # Adds EOS to sentences and groups them into arrays of one number of rows each, and says which sentence stands in
    # each row; -1 stands for none, and so does what is left out at the end: those rows are PAD. A sentence's width must
    # depend on its own length alone, or the last digits of its score depend on neighbours.
    batches: Batches


class Translator:
    """Translates any number of sentences; what a sentence becomes does not depend on the others.

    Args:
      tokenizer: between text and ids.
      attempts: what is tried first, then what is tried with the sentences that it found nothing for, and so on.
    """

    def __init__(self, tokenizer: Tokenizer, *attempts: Attempt) -> None:
        self._tokenizer = tokenizer
        self._attempts = attempts

    def translate(self, sentences: Sequence[str], n_best: int = 1) -> list[list[Translation]]:
        """The `n_best` translations of each sentence, best first, in input order.

        There are fewer where the search found fewer; a sentence without text has the one translation `EMPTY`.

        Raises:
          ValueError: if the search keeps fewer than `n_best` hypotheses, or `n_best` is not positive.
        """
        if n_best < 1:
            raise ValueError(f"n_best: {n_best} is not positive")
        ids = self._tokenizer.encode_batch(list(sentences))
        # Spaces alone may have tokens, too; a model makes something up of them.
        places = [place for place, tokens in enumerate(ids) if tokens and sentences[place].strip()]
        translations = [[EMPTY] for _ in sentences]
        for attempt in self._attempts:
            left = []
            for indices, found in _found(attempt, [ids[place] for place in places]):
                beams = found.tokens_BNT.shape[1]
                if n_best > beams:
                    raise ValueError(f"n_best: {n_best} translations asked of a search that keeps {beams}")
                tokens_BNT, scores_BN = np.asarray(found.tokens_BNT), np.asarray(found.scores_BN)
                for row, index in enumerate(indices):
                    if index < 0:
                        continue
                    best = read(tokens_BNT[row, :n_best], scores_BN[row, :n_best], self._tokenizer)
                    translations[places[index]] = best
                    left += [] if best else [places[index]]
            places = sorted(left)
        return translations


def _found(attempt: Attempt, ids: list[list[int]]) -> Iterator[tuple[Any, Found]]:
    """Searches batch after batch, some ahead of the one that is yielded: the device works while the host reads."""
    waiting: deque[tuple[Any, Found]] = deque()
    for indices, source_BS in attempt.batches(ids) if ids else ():
        waiting.append((indices, attempt.searcher(source_BS)))
        if len(waiting) > _IN_FLIGHT:
            yield waiting.popleft()
    yield from waiting


def read(tokens_NT: np.ndarray, scores_N: np.ndarray, tokenizer: Tokenizer) -> list[Translation]:
    """The outputs that a search found for one sentence; places without one are left out."""
    translations = []
    for tokens_T, score in zip(tokens_NT, scores_N, strict=True):
        if score > LOWEST / 2:
            tokens = tuple(tokens_T[tokens_T != PAD].tolist())
            translations.append(Translation(tokenizer.decode(tokens), float(score), tokens))
    return translations
