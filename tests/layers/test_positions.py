"""Positional encodings. Sizes: T 5, D 7, 11 positions."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.layers.positions import LearnedPositions, NoPositions, SinusoidPositions
from transformer.ops.positions import sinusoid

POSITION_T = jnp.array([3, 0, 10, 3, 7])


def test_sinusoids_are_the_table_of_section_3_5() -> None:
    np.testing.assert_array_equal(SinusoidPositions(7)(POSITION_T), sinusoid(POSITION_T, 7))


def test_no_positions_are_zeros() -> None:
    zeros_TD = NoPositions(7)(POSITION_T)
    assert zeros_TD.dtype == jnp.float32
    np.testing.assert_array_equal(zeros_TD, np.zeros((5, 7)))


def test_learned_positions_have_the_scale_of_sinusoids() -> None:
    learned = LearnedPositions(7, 11, rngs=nnx.Rngs(0))
    table_PD = np.asarray(learned.table_PD[...])
    assert table_PD.shape == (11, 7)
    np.testing.assert_array_equal(learned(POSITION_T), table_PD[np.asarray(POSITION_T)])
    large = np.asarray(LearnedPositions(64, 101, rngs=nnx.Rngs(0)).table_PD[...])
    assert np.mean(large**2) == pytest.approx(np.mean(np.asarray(sinusoid(jnp.arange(101), 64)) ** 2), rel=0.05)


def test_sequence_longer_than_learned_positions() -> None:
    with pytest.raises(ValueError, match=r"12 positions, but model\.max_positions=11"):
        LearnedPositions(7, 11, rngs=nnx.Rngs(0))(jnp.arange(12))
