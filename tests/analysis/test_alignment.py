"""Alignment error rate, computed by hand."""

import numpy as np
import pytest

from transformer.analysis.alignment import argmax_links, count_links


def test_a_word_links_to_its_largest_weight_unless_that_column_is_not_a_word() -> None:
    weights = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.1, 0.6, 0.3]])
    assert argmax_links(weights, 2) == {(0, 0), (2, 1)}
    assert argmax_links(weights, 3) == {(0, 0), (1, 2), (2, 1)}


def test_the_error_rate_of_all_sentences() -> None:
    """3 correct of 4 predicted and 5 gold: 1 - 6/9."""
    gold = frozenset({(0, 0), (1, 1), (1, 2)})
    counts = count_links(
        [(frozenset({(0, 0), (1, 2), (2, 2)}), gold), (frozenset({(0, 1)}), frozenset({(0, 1), (1, 0)}))]
    )
    assert counts == (3, 4, 5)
    assert counts.error_rate == pytest.approx(1 / 3)
    assert count_links([(gold, gold)]).error_rate == 0
    assert count_links([(frozenset(), gold)]).error_rate == 1
