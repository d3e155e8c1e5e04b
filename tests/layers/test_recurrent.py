"""Recurrent layers; tests/parity compares them with PyTorch. Sizes: B 3, T 5, D 7, R 11."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.layers.recurrent import CELLS, DEFAULT_INITIALIZERS, Bidirectional, Recurrent, uniform_initializers

ROWS, TIME, INPUTS, SIZE = 3, 5, 7, 11
LENGTH_B = np.array([3, 5, 1])
MASK_BT = np.arange(TIME) < LENGTH_B[:, None]


def make(cell: str, dtype=jnp.float32, initializers=DEFAULT_INITIALIZERS) -> Recurrent:
    rngs = nnx.Rngs(0)
    return Recurrent(
        INPUTS,
        CELLS[cell](SIZE, initializers=initializers, dtype=dtype, rngs=rngs),
        initializers=initializers,
        rngs=rngs,
    )


@pytest.fixture(scope="module", params=CELLS)
def layer(draw, request) -> Recurrent:
    return draw(lambda: make(request.param))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(ROWS, TIME, INPUTS)).astype(np.float32)


@functools.partial(jax.jit, static_argnames="reverse")
def run(layer: Recurrent, x_BTD: jax.Array, mask_BT: jax.Array, reverse: bool = False) -> Any:
    return layer(x_BTD, mask_BT, layer.cell.initial_carry((len(x_BTD),)), reverse=reverse)


def test_padding_does_not_move_the_carry(layer, x) -> None:
    """Carry and outputs of a padded sentence equal those of the sentence without padding."""
    hidden_BTR, last = run(layer, x, MASK_BT)
    for row, length in enumerate(LENGTH_B):
        hidden, carry = run(layer, x[row : row + 1, :length], np.ones((1, length), bool))
        np.testing.assert_allclose(hidden_BTR[row, :length], hidden[0], atol=1e-6)
        jax.tree.map(lambda many, one, row=row: np.testing.assert_allclose(many[row], one[0], atol=1e-6), last, carry)


def test_steps_equal_the_sequence(layer, x) -> None:
    """With an axis of hypotheses between rows and units, as in a search."""
    hidden_BTR, _ = run(layer, x, np.ones((ROWS, TIME), bool))
    carry, step = layer.cell.initial_carry((ROWS, 2)), jax.jit(type(layer).step)
    for time in range(TIME):
        carry = step(layer, np.repeat(x[:, None, time], 2, axis=1), carry)
        for beam in range(2):
            np.testing.assert_allclose(carry.hidden[:, beam], hidden_BTR[:, time], atol=1e-6)


def test_reverse_reads_from_the_end(layer, x) -> None:
    everything = np.ones((ROWS, TIME), bool)
    forward, last = run(layer, x[:, ::-1], everything)
    backward, first = run(layer, x, everything, reverse=True)
    np.testing.assert_allclose(backward, np.asarray(forward)[:, ::-1], atol=1e-6)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-6), last, first)


def test_bidirectional_annotations(draw, x) -> None:
    encoder = draw(lambda: Bidirectional(make("gru"), make("gru")))
    annotate = jax.jit(type(encoder).__call__)
    annotation_BSU, last, first = annotate(encoder, x, MASK_BT)
    assert annotation_BSU.shape == (ROWS, TIME, 2 * SIZE)
    for row, length in enumerate(LENGTH_B):
        np.testing.assert_allclose(annotation_BSU[row, length - 1, :SIZE], last.hidden[row], atol=1e-6)
        np.testing.assert_allclose(annotation_BSU[row, 0, SIZE:], first.hidden[row], atol=1e-6)
    # The backward layer starts at the end of each sentence, not at the end of the padded row.
    short = annotate(encoder, x[:1, :3], MASK_BT[:1, :3])[0]
    np.testing.assert_allclose(annotation_BSU[:1, :3], short, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16(cell: str, x) -> None:
    """Outputs have the dtype of the model; the cell state of an LSTM, a sum over all steps, stays float32."""
    layer = make(cell, jnp.bfloat16)
    hidden_BTR, last = run(layer, jnp.asarray(x, jnp.bfloat16), MASK_BT)
    assert hidden_BTR.dtype == last.hidden.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in last[1:])
    exact, _ = run(make(cell), x, MASK_BT)
    np.testing.assert_allclose(np.asarray(hidden_BTR, np.float32), exact, atol=0.02)


@pytest.mark.parametrize("cell", CELLS)
def test_gates_are_summed_in_float32(cell: str) -> None:
    """A bfloat16 number has 8 significant bits; the terms of these sums differ by more."""
    make: Any = CELLS[cell]  # both kinds of cell: their carries have different types
    half, exact = (
        make(SIZE, initializers=DEFAULT_INITIALIZERS, dtype=dtype, rngs=nnx.Rngs(0))
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    rounded = half.recurrent_RG[...].astype(jnp.bfloat16)
    exact.recurrent_RG[...] = rounded.astype(jnp.float32)
    generator = np.random.default_rng(1)
    gates = jnp.asarray(generator.normal(size=(4, SIZE * half.gates)), jnp.bfloat16)
    hidden = jnp.asarray(generator.normal(size=(4, SIZE)) / 50, jnp.bfloat16)
    carry = half.initial_carry((4,))._replace(hidden=hidden)
    expected = exact(gates.astype(jnp.float32), carry._replace(hidden=hidden.astype(jnp.float32)))
    actual = half(gates, carry)
    if cell == "lstm":
        np.testing.assert_allclose(actual.cell, expected.cell, rtol=1e-5)
    else:
        np.testing.assert_array_equal(actual.hidden, expected.hidden.astype(jnp.bfloat16))


@pytest.mark.parametrize("cell", CELLS)
def test_initial_parameters(cell: str) -> None:
    layer = make(cell)
    for part in np.split(np.asarray(layer.cell.recurrent_RG[...]), CELLS[cell].gates, axis=1):
        np.testing.assert_allclose(part @ part.T, np.eye(SIZE), atol=1e-5)
    bound = math.sqrt(6 / (INPUTS + CELLS[cell].gates * SIZE))
    assert 0.9 * bound < np.abs(layer.to_gates.kernel[...]).max() <= bound
    for leaf in jax.tree.leaves(nnx.to_pure_dict(nnx.state(make(cell, initializers=uniform_initializers(0.08))))):
        assert 0.04 < np.abs(leaf).max() <= 0.08
