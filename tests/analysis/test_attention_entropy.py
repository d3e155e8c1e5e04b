"""Entropy and saturation, computed by hand."""

import math

import jax.numpy as jnp
import pytest

from transformer.analysis.attention_entropy import attention_sums, means

SOURCE_MASK = jnp.array([[True, True, False], [True, True, True]])
TARGET_MASK = jnp.array([[True], [False]])


def test_queries_at_padding_do_not_count() -> None:
    """Sentence 1: a uniform row, a one-hot row, and one at padding; sentence 2: three rows of 0.96 and 0.04."""
    encoder = jnp.array([[[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.3, 0.3, 0.4]]], [[[0.96, 0.04, 0.0]] * 3]])
    cross = jnp.array([[[[0.25, 0.75, 0.0]]], [[[1.0, 0.0, 0.0]]]])
    sums = attention_sums({"encoder/0": encoder, "cross/1": cross}, SOURCE_MASK, TARGET_MASK)
    entropy = -0.96 * math.log(0.96) - 0.04 * math.log(0.04)
    values = means([sums])
    assert values == pytest.approx(
        {
            "attention_entropy/encoder/0": (math.log(2) + 3 * entropy) / 5,
            "attention_saturated/encoder/0": 4 / 5,
            "attention_entropy/cross/1": -0.25 * math.log(0.25) - 0.75 * math.log(0.75),
            "attention_saturated/cross/1": 0.0,
        }
    )
    assert means([sums, sums]) == pytest.approx(values)
    assert means([{}]) == {}
