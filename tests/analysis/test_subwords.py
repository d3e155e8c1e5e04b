"""Words and attention between words from pieces."""

import numpy as np
import pytest

from transformer.analysis.subwords import word_attention, word_membership, word_texts


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        (["▁Le", "▁ch", "at", ".", "</s>"], ["Le", "chat", ".", "</s>"]),
        (["▁l", "'", "homme", ",", "▁", "où", "▁?"], ["l'homme", ",", "où", "?"]),
        (["<s>", "▁a", "<unk>", "b"], ["<s>", "a", "<unk>", "b"]),
        (["▁a", ".", "."], ["a", ".."]),
        (["▁", "▁", "a"], ["a"]),
    ],
)
def test_pieces_form_words(pieces: list[str], expected: list[str]) -> None:
    spans = word_texts(pieces)
    assert [text for _, _, text in spans] == expected
    assert [piece for first, end, _ in spans for piece in range(first, end)] == list(range(len(pieces)))


def test_a_piece_across_a_boundary_belongs_to_both_words() -> None:
    shares = word_membership(["▁", "Il", "▁a", "▁l'h", "omme", "."], ["Il", "a", "l'", "homme", "."])
    expected = np.zeros((5, 6))
    expected[0, :2] = expected[1, 2] = expected[4, 5] = expected[3, 4] = 1
    expected[2, 3], expected[3, 3] = 2 / 3, 1 / 3
    np.testing.assert_allclose(shares, expected, rtol=1e-6)


def test_pieces_that_spell_another_text_are_rejected() -> None:
    with pytest.raises(ValueError, match="do not spell the words"):
        word_membership(["▁Il", "<unk>"], ["Il", "ö"])


def test_columns_are_summed_and_rows_averaged_over_pieces() -> None:
    weights = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    by_word = word_attention(weights[None], np.array([[1, 1]]), np.array([[1, 0, 0], [0, 1, 1]]))
    np.testing.assert_allclose(by_word, [[[0.2, 0.8]]], rtol=1e-6)
