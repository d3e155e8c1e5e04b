"""Words from pieces."""

import numpy as np
import pytest

from transformer.analysis.subwords import groups, join, of_groups, of_words, text


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
def test_pieces_make_up_words(pieces: list[str], expected: list[str]) -> None:
    spans = groups(pieces)
    assert [text(pieces[first:end]) for first, end in spans] == expected
    assert [place for span in spans for place in range(*span)] == list(range(len(pieces)))


def test_a_piece_over_a_boundary_belongs_to_both_words() -> None:
    shares = of_words(["▁", "Il", "▁a", "▁l'h", "omme", "."], ["Il", "a", "l'", "homme", "."])
    expected = np.zeros((5, 6))
    expected[0, :2] = expected[1, 2] = expected[4, 5] = expected[3, 4] = 1
    expected[2, 3], expected[3, 3] = 2 / 3, 1 / 3
    np.testing.assert_allclose(shares, expected, rtol=1e-6)


def test_pieces_that_spell_something_else_are_refused() -> None:
    with pytest.raises(ValueError, match="do not spell the words"):
        of_words(["▁Il", "<unk>"], ["Il", "ö"])


def test_a_word_is_looked_at_as_much_as_its_pieces_and_looks_as_they_do_in_the_mean() -> None:
    weights = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
    joined = join(weights[None], of_groups([(0, 2)]), of_groups([(0, 1), (1, 3)]))
    np.testing.assert_allclose(joined, [[[0.2, 0.8]]], rtol=1e-6)
