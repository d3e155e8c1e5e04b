"""Student's interval against a table of t: 12.706 for two values, 4.303 for three, 2.776 for five."""

import numpy as np
import pytest

from transformer.evaluation.confidence import Mean, mean, ratio_of_means


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 3.0], (2.0, 12.706 * 2**0.5 / 2**0.5)),
        ([1.0, 2.0, 3.0], (2.0, 4.303 / 3**0.5)),
        ([1.0, 2.0, 3.0, 4.0, 5.0], (3.0, 2.776 * 2.5**0.5 / 5**0.5)),
    ],
)
def test_half_width(values: list[float], expected: tuple[float, float]) -> None:
    interval = mean(values)
    assert (interval.value, interval.half_width) == pytest.approx(expected, rel=1e-3)
    assert interval.seeds == len(values)


def test_one_value_has_no_interval_and_no_values_have_no_mean() -> None:
    assert mean([7.0]) == Mean(7.0, None, 1)
    with pytest.raises(ValueError, match="no values"):
        mean([])


def test_a_ratio_of_means_by_hand() -> None:
    """Ratio 6 / 12; residuals 0, 1, -1; a NaN is left out of both sums."""
    ratio, half_width = ratio_of_means(np.array([[1.0, 3.0, 2.0, np.nan]]), np.array([2.0, 4.0, 6.0, 9.0]))
    assert ratio.tolist() == [0.5]
    assert half_width[0] == pytest.approx(1.96 * (2 * 3 / 2) ** 0.5 / 12)
    assert np.isnan(ratio_of_means(np.array([np.nan]), np.array([2.0]))[0])
