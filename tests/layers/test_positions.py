"""What is added to embeddings. Sizes: T 5, D 7, 11 positions."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.layers.positions import Learned, Nothing, Sinusoids
from transformer.ops.positions import sinusoid

POSITION_T = jnp.array([3, 0, 10, 3, 7])


def test_sinusoids_are_the_table_of_section_3_5() -> None:
    np.testing.assert_array_equal(Sinusoids(7)(POSITION_T), sinusoid(POSITION_T, 7))


def test_nothing_adds_nothing() -> None:
    found = Nothing(7)(POSITION_T)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, np.zeros((5, 7)))


def test_learned_positions_are_rows_of_a_table_as_large_as_sinusoids() -> None:
    learned = Learned(7, 11, rngs=nnx.Rngs(0))
    table_PD = np.asarray(learned.table_PD[...])
    assert table_PD.shape == (11, 7)
    np.testing.assert_array_equal(learned(POSITION_T), table_PD[np.asarray(POSITION_T)])
    large = np.asarray(Learned(64, 101, rngs=nnx.Rngs(0)).table_PD[...])
    assert np.mean(large**2) == pytest.approx(np.mean(np.asarray(sinusoid(jnp.arange(101), 64)) ** 2), rel=0.05)


def test_more_positions_than_there_are() -> None:
    with pytest.raises(ValueError, match=r"12 positions, but model\.max_positions=11"):
        Learned(7, 11, rngs=nnx.Rngs(0))(jnp.arange(12))
