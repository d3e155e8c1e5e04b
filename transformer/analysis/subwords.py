"""From sub-words to words: the pieces of each word, and attention between words."""

import itertools
from collections.abc import Sequence

import numpy as np

_SPACE = "▁"  # SentencePiece's symbol for the space before a word
_WORD_INTERNAL = frozenset("'’-_")  # may occur between the letters of a word


def word_spans(pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Returns the words that pieces form as (first piece, end piece): split at spaces, punctuation separate.

    Each special symbol, such as "</s>", is one word.
    """
    starts = [index for index, pair in enumerate(itertools.pairwise(["", *pieces])) if not index or _are_divided(*pair)]
    return list(zip(starts, [*starts[1:], len(pieces)], strict=True)) if pieces else []


def _are_divided(before: str, piece: str) -> bool:
    """Returns whether a word ends between two pieces. A piece that is only a space belongs to the next piece."""
    if before == _SPACE:
        return False
    if piece.startswith(_SPACE) or _is_special(before) or _is_special(piece):
        return True
    return _is_punctuation(before) != _is_punctuation(piece) and not (set(before) | set(piece)) & _WORD_INTERNAL


def _is_special(piece: str) -> bool:
    return len(piece) > 2 and piece.startswith("<") and piece.endswith(">")


def _is_punctuation(piece: str) -> bool:
    return not any(character.isalnum() for character in piece)


def word_text(pieces: Sequence[str]) -> str:
    """Returns the text of a word's pieces."""
    return "".join(pieces).replace(_SPACE, " ").strip() or _SPACE


def piece_texts(pieces: Sequence[str]) -> list[str]:
    """Returns the text of every piece, for labels."""
    return [word_text([piece]) for piece in pieces]


def word_texts(pieces: Sequence[str]) -> list[tuple[int, int, str]]:
    """Returns (first piece, end piece, text) of each word."""
    return [(first, end, word_text(pieces[first:end])) for first, end in word_spans(pieces)]


def word_membership(pieces: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """Returns the share of each piece that belongs to each of the given words: float32 [words, pieces].

    A piece that crosses a word boundary is shared by number of characters.

    Args:
      pieces: of a sentence, without special symbols.
      words: of the same sentence; spaces in them are ignored.

    Raises:
      ValueError: pieces and words spell different text, for example because of a character outside the vocabulary.
    """
    from_pieces = [(index, c) for index, piece in enumerate(pieces) for c in piece if c not in (_SPACE, " ")]
    from_words = [(index, c) for index, word in enumerate(words) for c in word if c != " "]
    if [c for _, c in from_pieces] != [c for _, c in from_words]:
        raise ValueError(f"the pieces {' '.join(pieces)} do not spell the words {' '.join(words)}")
    shares = np.zeros((len(words), len(pieces)), np.float32)
    for (piece, _), (word, _) in zip(from_pieces, from_words, strict=True):
        shares[word, piece] += 1
    total = shares.sum(axis=0, keepdims=True)
    # A piece that is only a space has no character: it belongs to the word of the next piece.
    for piece in np.flatnonzero(total[0] == 0):
        has_word = shares[:, piece + 1 :].any(axis=0)
        if has_word.any():
            shares[:, piece] = shares[:, piece + 1 + int(np.argmax(has_word))]
            total[0, piece] = shares[:, piece].sum()
    return shares / np.maximum(total, 1)


def word_attention(weights: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Computes attention between words, [..., row words, column words], from weights between pieces.

    A word as a column has the sum of its pieces' weights, and as a row their mean. So rows still sum to one.

    Args:
      weights: [..., row pieces, column pieces].
      rows: [row words, row pieces], from `word_membership`.
      columns: [column words, column pieces], from the same.
    """
    mean = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-9)
    return mean @ weights @ columns.T
