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


def test_any_positions_in_any_order() -> None:
    """Decoding needs one position at a time."""
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


def rotary(x_BTHK: np.ndarray, position_T: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(positions.rotary)(x_BTHK, position_T))


def test_rotary_by_hand() -> None:
    """With d_k = 4 the first pair rotates by the position, and the second by a hundredth of it."""
    x_BTHK = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    position_T = np.array([0, 1, 7])
    turned_BTHK = rotary(x_BTHK, position_T)
    for time, position in enumerate(position_T):
        for pair, angle in enumerate((position, position / 100)):
            expected = (x_BTHK[:, time, :, 2 * pair] + 1j * x_BTHK[:, time, :, 2 * pair + 1]) * np.exp(1j * angle)
            np.testing.assert_allclose(turned_BTHK[:, time, :, 2 * pair], expected.real, atol=1e-5)
            np.testing.assert_allclose(turned_BTHK[:, time, :, 2 * pair + 1], expected.imag, atol=1e-5)


def test_rotary_dot_products_depend_only_on_the_distance() -> None:
    query, key = np.random.default_rng(0).normal(size=(2, 1, 1, 1, 6)).astype(np.float32)

    def product(first: int, second: int) -> float:
        return float(np.sum(rotary(query, np.array([first])) * rotary(key, np.array([second]))))

    assert product(3, 8) == pytest.approx(product(13, 18), abs=1e-5)
    assert abs(product(3, 8) - product(3, 9)) > 0.01


def test_rotary_with_a_shared_position_and_an_odd_width() -> None:
    x_BTHK = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    single = [rotary(x_BTHK[:, time : time + 1], np.array([7])) for time in range(3)]
    np.testing.assert_allclose(rotary(x_BTHK, np.array([7])), np.concatenate(single, axis=1), atol=1e-6)
    with pytest.raises(ValueError, match="d_k=3 has an odd number"):
        positions.rotary(jnp.asarray(x_BTHK[..., :3]), jnp.arange(3))


def test_no_rotation() -> None:
    x_BTHK = np.ones((1, 2, 3, 5), np.float32)
    np.testing.assert_array_equal(positions.no_rotation(jnp.asarray(x_BTHK), jnp.arange(2)), x_BTHK)


def test_alibi_slopes_are_those_of_the_paper() -> None:
    """1/2, 1/4, ..., 1/256 for eight heads; every second slope of twice as many heads fills up other numbers."""
    np.testing.assert_allclose(positions.alibi_slopes(8), [2.0**-power for power in range(1, 9)])
    np.testing.assert_allclose(positions.alibi_slopes(16)[:3], [2**-0.5, 2**-1, 2**-1.5])
    np.testing.assert_allclose(positions.alibi_slopes(3), [2**-4, 2**-8, 2**-2])
    np.testing.assert_allclose(positions.alibi_slopes(7), [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3, 2**-5])
    np.testing.assert_allclose(positions.alibi_slopes(1), [2**-8])


def test_alibi_by_hand() -> None:
    """One query at position 2, or all queries: minus slope times distance, on both sides."""
    bias_HTS = np.asarray(positions.alibi(jnp.array([2]), jnp.arange(5), 2))
    np.testing.assert_allclose(bias_HTS, -np.array([2**-4, 2**-8])[:, None, None] * [[[2, 1, 0, 1, 2]]])
    whole_HTS = np.asarray(positions.alibi(jnp.arange(5), jnp.arange(5), 2))
    np.testing.assert_array_equal(whole_HTS[:, 2:3], bias_HTS)


def test_relative_scores_by_hand() -> None:
    """B 2, T 3, S 7, H 2, K 5; distances beyond ±2 have the vectors of ±2."""
    generator = np.random.default_rng(0)
    query_BTHK, vector_PK = (generator.normal(size=size).astype(np.float32) for size in ((2, 3, 2, 5), (5, 5)))
    query_T, key_S = np.array([0, 4, 6]), np.arange(7)
    actual_BHTS = np.asarray(jax.jit(positions.relative_scores)(query_BTHK, vector_PK, query_T, key_S))
    for row, head, time, key in np.ndindex(2, 2, 3, 7):
        vector = vector_PK[min(max(key - query_T[time], -2), 2) + 2]
        expected = query_BTHK[row, time, head] @ vector
        assert actual_BHTS[row, head, time, key] == pytest.approx(expected, abs=1e-5)
