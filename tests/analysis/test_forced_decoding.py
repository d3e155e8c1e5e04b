"""Attention and probabilities of a forced decoding."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.analysis.attention_plots import cross_attention
from transformer.analysis.forced_decoding import (
    decode_pair,
    forced_outputs,
    head_counts,
    target_log_probabilities,
    teacher_forcing_inputs,
    unpad_row,
)
from transformer.spec import EOS

SOURCE, TARGET = [5, 11, 7, 4], [6, 13, EOS]


def test_every_attention_is_returned_in_order(make: Callable[..., Any]) -> None:
    model = make("transformer")
    outputs = decode_pair(model, SOURCE, TARGET)
    assert list(outputs.attention) == ["encoder/0", "encoder/1", "decoder/0", "decoder/1", "cross/0", "cross/1"]
    shapes = {name: weights.shape for name, weights in outputs.attention.items()}
    assert shapes["encoder/1"] == (2, 5, 5)
    assert shapes["decoder/1"] == (2, 3, 3)
    assert shapes["cross/1"] == (2, 3, 5)
    cross = np.stack([outputs.attention[f"cross/{layer}"] for layer in range(2)])
    np.testing.assert_allclose(cross, cross_attention(model, SOURCE, TARGET), rtol=1e-5)
    assert head_counts(model) == dict.fromkeys(outputs.attention, 2)


@pytest.mark.parametrize("architecture", ["transformer", "rnnsearch", "seq2seq"])
def test_probabilities_are_those_of_the_target_tokens(architecture: str, make: Callable[..., Any]) -> None:
    model = make(architecture)
    outputs = decode_pair(model, SOURCE, TARGET, top=17)
    np.testing.assert_allclose(np.exp(outputs.top_log_probability).sum(axis=-1), 1, rtol=1e-4)
    for position, token in enumerate(TARGET):
        (rank,) = np.flatnonzero(outputs.top_tokens[position] == token)
        assert outputs.top_log_probability[position, rank] == pytest.approx(
            outputs.log_probability_T[position], abs=1e-5
        )
    source_BS, input_BT = teacher_forcing_inputs(SOURCE, TARGET)
    batch = jax.jit(target_log_probabilities, static_argnums=0)(model, source_BS, input_BT, jnp.array([TARGET]))
    np.testing.assert_allclose(batch[0], outputs.log_probability_T, rtol=1e-4, atol=1e-5)


def test_a_row_of_a_padded_batch_equals_a_single_pair(make: Callable[..., Any]) -> None:
    model = make("transformer")
    source_BS, input_BT = (jnp.pad(ids, ((1, 0), (0, 3))) for ids in teacher_forcing_inputs(SOURCE, TARGET))
    target_BT = jnp.pad(jnp.array([TARGET]), ((1, 0), (0, 3)))
    row = unpad_row(jax.jit(forced_outputs, static_argnums=(0, 4))(model, source_BS, input_BT, target_BT, 5), 1, 5, 3)
    single = decode_pair(model, SOURCE, TARGET)
    assert list(row.attention) == list(single.attention)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5), row, single)


def test_an_empty_target_is_rejected(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="no target token"):
        decode_pair(make("transformer"), SOURCE, [])
