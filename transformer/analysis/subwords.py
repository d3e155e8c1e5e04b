"""From sub-words to words: the pieces of each word, and attention between words."""

from collections.abc import Sequence

import numpy as np

_SPACE = "▁"  # SentencePiece's symbol for the space before a word
_WORD_INTERNAL = frozenset("'’-_")  # may occur between the letters of a word


def word_spans(pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Returns the words that pieces form as (first piece, end piece): split at spaces, punctuation separate.

    Each special symbol, such as "</s>", is one word.
    """
    starts = [
        index
        for index, piece in enumerate(pieces)
        if index == 0
        or piece.startswith(_SPACE)
        or _is_special(piece)
        or _is_special(pieces[index - 1])
        or (
            _is_punctuation(piece) != _is_punctuation(pieces[index - 1])
            and not (set(piece) | set(pieces[index - 1])) & _WORD_INTERNAL
        )
    ]
    # A piece that is only a space belongs to the next piece.
    starts = [start for start in starts if start == 0 or pieces[start - 1] != _SPACE]
    return list(zip(starts, [*starts[1:], len(pieces)], strict=True)) if pieces else []


def _is_special(piece: str) -> bool:
    return len(piece) > 2 and piece.startswith("<") and piece.endswith(">")


def _is_punctuation(piece: str) -> bool:
    return not any(character.isalnum() for character in piece)


def word_text(pieces: Sequence[str]) -> str:
    """Returns the text of a word's pieces."""
    return "".join(pieces).replace(_SPACE, " ").strip() or _SPACE


def span_membership(spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Returns which pieces each word consists of: float32 [words, pieces], 1 for its pieces."""
    membership = np.zeros((len(spans), spans[-1][1] if spans else 0), np.float32)
    for word, (first, end) in enumerate(spans):
        membership[word, first:end] = 1
    return membership


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
      rows: [row words, row pieces], from `span_membership` or `word_membership`.
      columns: [column words, column pieces], from the same.
    """
    mean = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-9)
    return mean @ weights @ columns.T
