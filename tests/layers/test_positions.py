"""Positional encodings. Sizes: T 5, D 7, 11 positions."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.layers.positions import (
    DistanceScore,
    LearnedPositions,
    LinearBiases,
    NoPositions,
    RelativeKeys,
    SinusoidPositions,
)
from transformer.ops.positions import alibi, relative_scores, sinusoid

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


def test_linear_biases_do_not_depend_on_queries() -> None:
    query_BTHK, positions = jnp.ones((2, 3, 5, 7)), (jnp.arange(3), jnp.arange(11))
    np.testing.assert_array_equal(LinearBiases(5)(query_BTHK, *positions), alibi(*positions, 5)[None])
    assert isinstance(LinearBiases(5), DistanceScore)


def test_relative_keys_have_a_vector_per_distance_up_to_16() -> None:
    keys = RelativeKeys(7, 0.3, rngs=nnx.Rngs(0))
    vector_PK = keys.vector_PK[...]
    assert vector_PK.shape == (33, 7)
    query_BTHK, positions = jnp.ones((2, 3, 5, 7)), (jnp.array([0, 20, 30]), jnp.arange(11))
    expected = 0.3 * relative_scores(query_BTHK, vector_PK, *positions)
    np.testing.assert_allclose(keys(query_BTHK, *positions), expected, rtol=1e-6)
