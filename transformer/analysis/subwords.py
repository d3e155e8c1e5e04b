"""From sub-words to words: which piece belongs to which word, and attention between words."""

from collections.abc import Sequence

import numpy as np

_SPACE = "▁"  # SentencePiece's sign for the space before a word
_WITHIN = frozenset("'’-_")  # what may stand between the letters of a word


def groups(pieces: Sequence[str]) -> list[tuple[int, int]]:
    """The words that pieces make up, as (first piece, piece after the last): split at spaces, punctuation apart.

    Special symbols, such as "</s>", are words of their own.
    """
    starts = [
        number
        for number, piece in enumerate(pieces)
        if number == 0
        or piece.startswith(_SPACE)
        or _special(piece)
        or _special(pieces[number - 1])
        or (
            _punctuation(piece) != _punctuation(pieces[number - 1])
            and not (set(piece) | set(pieces[number - 1])) & _WITHIN
        )
    ]
    # A lone sign for a space belongs to what follows it.
    starts = [start for start in starts if start == 0 or pieces[start - 1] != _SPACE]
    return list(zip(starts, [*starts[1:], len(pieces)], strict=True)) if pieces else []


def _special(piece: str) -> bool:
    return len(piece) > 2 and piece.startswith("<") and piece.endswith(">")


def _punctuation(piece: str) -> bool:
    return not any(character.isalnum() for character in piece)


def text(pieces: Sequence[str]) -> str:
    """What a word's pieces say."""
    return "".join(pieces).replace(_SPACE, " ").strip() or _SPACE


def of_groups(spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Which piece belongs to which word: float32 [words, pieces], 1 where it does."""
    shares = np.zeros((len(spans), spans[-1][1] if spans else 0), np.float32)
    for word, (first, end) in enumerate(spans):
        shares[word, first:end] = 1
    return shares


def of_words(pieces: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """How much of each piece belongs to each of the words that the pieces spell: float32 [words, pieces].

    A piece that reaches over a boundary belongs to each word with its share of characters.

    Args:
      pieces: of a sentence, without special symbols.
      words: of the same sentence; spaces between them do not matter.

    Raises:
      ValueError: the pieces spell something else, as with a character that is not in the vocabulary.
    """
    characters = [(number, each) for number, piece in enumerate(pieces) for each in piece if each not in (_SPACE, " ")]
    spelled = [(number, each) for number, word in enumerate(words) for each in word if each != " "]
    if [each for _, each in characters] != [each for _, each in spelled]:
        raise ValueError(f"the pieces {' '.join(pieces)} do not spell the words {' '.join(words)}")
    shares = np.zeros((len(words), len(pieces)), np.float32)
    for (piece, _), (word, _) in zip(characters, spelled, strict=True):
        shares[word, piece] += 1
    total = shares.sum(axis=0, keepdims=True)
    # A lone sign for a space has no character: it belongs to the word of the piece after it.
    for piece in np.flatnonzero(total[0] == 0):
        after = shares[:, piece + 1 :].any(axis=0)
        if after.any():
            shares[:, piece] = shares[:, piece + 1 + int(np.argmax(after))]
            total[0, piece] = shares[:, piece].sum()
    return shares / np.maximum(total, 1)


def join(weights: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Attention between words, [..., rows' words, columns' words], of weights between pieces, [..., rows, columns].

    A word is looked at as much as all its pieces are; it looks as its pieces do in the mean. So rows that sum to one
    still do.

    Args:
      weights: [..., row pieces, column pieces].
      rows, columns: shares of pieces in words, from `of_groups` or `of_words`.
    """
    mean = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-9)
    return mean @ weights @ columns.T
