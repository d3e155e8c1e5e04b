"""Alignment error rate, by hand."""

import numpy as np
import pytest

from transformer.analysis.alignment import compare, strongest


def test_a_word_links_with_what_it_looks_at_most_unless_that_is_no_word() -> None:
    weights = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.1, 0.6, 0.3]])
    assert strongest(weights, 2) == {(0, 0), (2, 1)}
    assert strongest(weights, 3) == {(0, 0), (1, 2), (2, 1)}


def test_the_error_rate_of_all_sentences() -> None:
    """3 right of 4 found and 5 gold: 1 - 6/9."""
    gold = frozenset({(0, 0), (1, 1), (1, 2)})
    found = compare([(frozenset({(0, 0), (1, 2), (2, 2)}), gold), (frozenset({(0, 1)}), frozenset({(0, 1), (1, 0)}))])
    assert found == (3, 4, 5)
    assert found.error_rate == pytest.approx(1 / 3)
    assert compare([(gold, gold)]).error_rate == 0
    assert compare([(frozenset(), gold)]).error_rate == 1
