"""One pair as a model reads it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.analysis.attention import cross_attention
from transformer.analysis.forced_decoding import head_counts, log_probabilities, looks, one, read, teacher_forced
from transformer.spec import EOS

SOURCE, TARGET = [5, 11, 7, 4], [6, 13, EOS]


def test_every_attention_is_there_by_name_and_in_order(make: Callable[..., Any]) -> None:
    model = make("transformer")
    reading = read(model, SOURCE, TARGET)
    assert list(reading.attention) == ["encoder/0", "encoder/1", "decoder/0", "decoder/1", "cross/0", "cross/1"]
    shapes = {name: each.shape for name, each in reading.attention.items()}
    assert shapes["encoder/1"] == (2, 5, 5)
    assert shapes["decoder/1"] == (2, 3, 3)
    assert shapes["cross/1"] == (2, 3, 5)
    cross = np.stack([reading.attention[f"cross/{layer}"] for layer in range(2)])
    np.testing.assert_allclose(cross, cross_attention(model, SOURCE, TARGET), rtol=1e-5)
    assert head_counts(model) == dict.fromkeys(reading.attention, 2)


@pytest.mark.parametrize("architecture", ["transformer", "rnnsearch", "seq2seq"])
def test_probabilities_are_those_of_the_target_s_tokens(architecture: str, make: Callable[..., Any]) -> None:
    model = make(architecture)
    reading = read(model, SOURCE, TARGET, top=17)
    np.testing.assert_allclose(np.exp(reading.likely_log_probability).sum(axis=-1), 1, rtol=1e-4)
    for place, token in enumerate(TARGET):
        (rank,) = np.flatnonzero(reading.likely[place] == token)
        assert reading.likely_log_probability[place, rank] == pytest.approx(reading.log_probability_T[place], abs=1e-5)
    source_BS, input_BT = teacher_forced(SOURCE, TARGET)
    batch = log_probabilities(model, source_BS, input_BT, jnp.array([TARGET]))
    np.testing.assert_allclose(batch[0], reading.log_probability_T, rtol=1e-4, atol=1e-5)


def test_a_row_of_a_padded_batch_reads_as_it_does_alone(make: Callable[..., Any]) -> None:
    model = make("transformer")
    source_BS, input_BT = (jnp.pad(each, ((1, 0), (0, 3))) for each in teacher_forced(SOURCE, TARGET))
    target_BT = jnp.pad(jnp.array([TARGET]), ((1, 0), (0, 3)))
    found = one(jax.jit(looks, static_argnums=(0, 4))(model, source_BS, input_BT, target_BT, 5), 1, 5, 3)
    alone = read(model, SOURCE, TARGET)
    assert list(found.attention) == list(alone.attention)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5), found, alone)


def test_an_empty_target_is_refused(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="no target token"):
        read(make("transformer"), SOURCE, [])
