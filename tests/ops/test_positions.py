import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.ops import positions

compiled = jax.jit(positions.sinusoid, static_argnums=1)


def sinusoid(position_T: np.ndarray, d_model: int) -> np.ndarray:
    return np.asarray(compiled(position_T, d_model))


def test_the_formula_by_hand() -> None:
    """With d_model = 4, 10000^(2i / d_model) is 1 for i = 0 and 100 for i = 1."""
    table_TD = sinusoid(np.arange(8), 4)
    assert table_TD.dtype == jnp.float32
    np.testing.assert_array_equal(table_TD[0], [0, 1, 0, 1])
    np.testing.assert_allclose(table_TD[1], [0.8414710, 0.5403023, 0.0099998, 0.9999500], atol=1e-6)
    np.testing.assert_allclose(table_TD[7], [0.6569866, 0.7539023, 0.0699428, 0.9975510], atol=1e-6)


@pytest.mark.parametrize("d_model", [1, 7, 10, 512])
def test_the_formula_for_any_width(d_model: int) -> None:
    """Sine and cosine interleave; an odd width ends with a sine."""
    expected = [
        [
            (math.cos if channel % 2 else math.sin)(position / 10000 ** (channel // 2 * 2 / d_model))
            for channel in range(d_model)
        ]
        for position in range(31)
    ]
    np.testing.assert_allclose(sinusoid(np.arange(31), d_model), expected, atol=1e-5)


def test_any_positions_may_be_asked_for() -> None:
    """A search asks for one position at a time."""
    whole_TD = sinusoid(np.arange(11), 7)
    np.testing.assert_allclose(sinusoid(np.array([10, 3, 3]), 7), whole_TD[np.array([10, 3, 3])], atol=1e-6)


def test_an_offset_is_a_rotation() -> None:
    """PE(pos + k) is a linear function of PE(pos), the same for every pos; Section 3.5."""
    offset, d_model = 5, 6
    table_TD = sinusoid(np.arange(29), d_model)
    for pair in range(d_model // 2):
        angle = offset / 10000 ** (2 * pair / d_model)
        rotation = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        channels = slice(2 * pair, 2 * pair + 2)
        rotated = table_TD[:-offset, channels] @ rotation.T
        np.testing.assert_allclose(table_TD[offset:, channels], rotated, atol=1e-5)


def test_none_adds_nothing() -> None:
    table_TD = positions.none(jnp.arange(5), 7)
    assert table_TD.dtype == jnp.float32
    np.testing.assert_array_equal(table_TD, np.zeros((5, 7)))
