import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from transformer.ops.losses import (
    LossSums,
    _select_by_comparison,
    _select_by_gather,
    _target_logit,
    cross_entropy,
    fused_cross_entropy,
)

ROWS, LENGTH, D_MODEL, VOCABULARY = 3, 7, 5, 11
SMOOTHING = jnp.float32(0.1)

plain = jax.jit(cross_entropy)
same = functools.partial(jax.tree.map, functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5))


@pytest.fixture(scope="module")
def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns logits_BTV, target_BT and weight_BT with different amounts of padding."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (ROWS, LENGTH, VOCABULARY))
    target = generator.integers(0, VOCABULARY, (ROWS, LENGTH))
    weight = np.arange(LENGTH) < np.array([[7], [4], [1]])
    return logits.astype(np.float32), target.astype(np.int32), weight.astype(np.float32)


def test_by_hand() -> None:
    """Probabilities 1/2, 1/4, 1/4; logits are their logarithms plus any constant."""
    logits_TV = (np.log([[0.5, 0.25, 0.25]]) + np.array([[0.0], [7.0], [-3.0]])).astype(np.float32)
    sums = plain(logits_TV, np.array([0, 1, 2]), np.array([1.0, 1.0, 0.0], np.float32), jnp.float32(0.3))
    two = math.log(2)
    assert sums.weight == 2
    assert sums.nll == pytest.approx(two + 2 * two, rel=1e-6)
    # A third of 0.3 goes to each token: the right one has 0.8.
    expected = (0.8 * 1 + 0.1 * 2 + 0.1 * 2) * two + (0.1 * 1 + 0.8 * 2 + 0.1 * 2) * two
    assert sums.loss == pytest.approx(expected, rel=1e-6)


def test_equals_an_explicit_smoothed_target(batch) -> None:
    @jax.jit
    def explicit(logits, target, weight, smoothing):
        labels_BTV = optax.smooth_labels(jax.nn.one_hot(target, VOCABULARY), smoothing)
        loss_BT = optax.softmax_cross_entropy(logits, labels_BTV)
        nll_BT = optax.softmax_cross_entropy_with_integer_labels(logits, target)
        return LossSums(jnp.sum(loss_BT * weight), jnp.sum(nll_BT * weight), jnp.sum(weight))

    def gradient(sums):
        return jax.jit(jax.grad(lambda *arguments: sums(*arguments).loss))

    for smoothing in (0.0, 0.1, 0.7):
        arguments = (*batch, jnp.float32(smoothing))
        same(plain(*arguments), explicit(*arguments))
        same(gradient(cross_entropy)(*arguments), gradient(explicit)(*arguments))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_both_ways_to_select_target_logits_are_equal(dtype) -> None:
    logits_BTV = jnp.asarray(np.random.default_rng(2).normal(0, 3, (2, 3, VOCABULARY)), dtype)
    target_BT = jnp.array([[0, 1, 5], [VOCABULARY - 1, 0, 7]])
    expected_BT = jax.jit(jax.vmap(_select_by_comparison))(logits_BTV, target_BT)
    np.testing.assert_array_equal(jax.jit(jax.vmap(_select_by_gather))(logits_BTV, target_BT), expected_BT)
    np.testing.assert_array_equal(jax.jit(jax.vmap(_target_logit))(logits_BTV, target_BT), expected_BT)


def test_padding_has_no_influence(batch) -> None:
    logits, target, weight = batch
    second = np.where(weight == 0, (target + 1) % VOCABULARY, target)
    changed = np.where((weight == 0)[..., None], np.float32(1e4), logits)
    same(plain(changed, second, weight, SMOOTHING), plain(logits, target, weight, SMOOTHING))
    gradient = jax.jit(jax.grad(lambda logits: cross_entropy(logits, target, weight, SMOOTHING).loss))(logits)
    np.testing.assert_array_equal((gradient != 0).any(axis=-1), weight)


def test_sums_of_parts_add_up(batch) -> None:
    full = plain(*batch, SMOOTHING)
    for axis, cut in [(0, 1), (1, 3)]:
        split = [np.split(array, [cut], axis) for array in batch]
        first, second = (plain(*part, SMOOTHING) for part in zip(*split, strict=True))
        same(jax.tree.map(jnp.add, first, second), full)


def test_large_logits_do_not_overflow() -> None:
    logits_TV = np.array([[1e4, -1e4, 0.0]] * 3, np.float32)
    sums = plain(logits_TV, np.array([1, 1, 2]), np.array([1.0, 0.0, 1.0], np.float32), jnp.float32(0.3))
    assert sums.nll == pytest.approx(2e4 + 1e4, rel=1e-6)
    assert sums.loss == pytest.approx(0.7 * 3e4 + 0.3 * 2e4, rel=1e-6)


def readout(parameters, hidden):
    """Computes logits as models do: the matmul in the dtype of `hidden`, the result in float32."""
    kernel_DV = parameters["kernel_DV"].astype(hidden.dtype)
    logits = jnp.einsum("...d,dv->...v", hidden, kernel_DV, preferred_element_type=jnp.float32)
    return logits + jnp.broadcast_to(parameters["bias_V"], logits.shape)


@pytest.fixture(scope="module")
def fused(batch):
    """Returns a function for sums and gradients of a weighted loss, fused with a chunk size or "plain"."""
    _, target_BT, weight_BT = batch
    generator = np.random.default_rng(1)
    shapes = {"kernel_DV": (D_MODEL, VOCABULARY), "bias_V": (VOCABULARY,)}
    parameters = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    hidden_BTD = generator.normal(size=(ROWS, LENGTH, D_MODEL)).astype(np.float32)

    @functools.partial(jax.jit, static_argnums=0)
    def gradients(tokens, parameters, hidden_BTD, loss, nll):
        def total(parameters, hidden_BTD):
            logits = functools.partial(readout, parameters)
            if tokens == "plain":
                sums = cross_entropy(logits(hidden_BTD), target_BT, weight_BT, SMOOTHING)
            else:
                sums = fused_cross_entropy(logits, hidden_BTD, target_BT, weight_BT, SMOOTHING, tokens)
            return loss * sums.loss + nll * sums.nll, sums

        return jax.grad(total, (0, 1), has_aux=True)(parameters, hidden_BTD)[::-1]

    return lambda tokens, dtype=jnp.float32, loss=1 / 3, nll=0.0: gradients(
        tokens, parameters, hidden_BTD.astype(dtype), loss, nll
    )


@pytest.mark.parametrize("positions", [None, 1, 3, 13])
def test_fused_equals_plain(fused, positions: int | None) -> None:
    """Sums and gradients, for chunks that divide the length, do not divide it, or exceed it."""
    same(fused(positions and positions * ROWS), fused("plain"))


def test_fused_equals_plain_in_bfloat16(batch, fused) -> None:
    """Sums and gradients of parameters are float32; the gradient of a bfloat16 input has eight bits."""
    sums, (parameters, hidden_BTD) = fused(3 * ROWS, jnp.bfloat16)
    expected, (parameters2, hidden2_BTD) = fused("plain", jnp.bfloat16)
    same((sums, parameters["bias_V"]), (expected, parameters2["bias_V"]))
    assert hidden_BTD.dtype == jnp.bfloat16
    np.testing.assert_array_equal((hidden_BTD != 0).any(axis=-1), batch[2])
    for first, second in [(parameters["kernel_DV"], parameters2["kernel_DV"]), (hidden_BTD, hidden2_BTD)]:
        first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
        np.testing.assert_allclose(first, second, atol=2**-7 * np.abs(second).max())


def test_a_scaled_loss_has_a_scaled_gradient(fused) -> None:
    """Each number is rounded to eight bits, but the scale is not: rounding has no bias."""
    full, third = (np.asarray(fused(3 * ROWS, jnp.bfloat16, loss=share)[1][1], np.float32) for share in (1.0, 1 / 3))
    assert np.vdot(third, full) / np.vdot(full, full) == pytest.approx(1 / 3, rel=1e-3)


def test_only_the_loss_has_a_gradient(fused) -> None:
    """`nll` is a reported metric and not an objective."""
    assert not any(np.any(gradient) for gradient in jax.tree.leaves(fused(3 * ROWS, loss=0.0, nll=1.0)[1]))


def test_smoothing_is_an_argument_of_one_program(batch) -> None:
    _, target, weight = batch
    traces = []

    @jax.jit
    def run(hidden_BTV, smoothing):
        traces.append(1)
        return fused_cross_entropy(lambda hidden: 2 * hidden, hidden_BTV, target, weight, smoothing, 3 * ROWS)

    first, second = (run(batch[0], jnp.float32(smoothing)) for smoothing in (0.0, 0.4))
    assert len(traces) == 1
    np.testing.assert_allclose(first.loss, first.nll, rtol=1e-6)
    np.testing.assert_allclose(second.nll, first.nll, rtol=1e-6)
    assert abs(second.loss - first.loss) > 0.1


@pytest.mark.parametrize(
    ("rows", "length", "tokens", "chunk_size"),
    [
        (64, 24, 512, 512),
        (16, 32, 512, 512),
        (16, 25, 128, 16 * 7),  # not 8, whose fourth chunk would be almost only padding
        (300, 11, 512, 600),
        (700, 5, 512, 700),  # at least one position per row
        (3, 7, 512, 21),
        (3, 7, None, 21),
    ],
)
def test_number_of_logits_at_a_time(rows: int, length: int, tokens: int | None, chunk_size: int) -> None:
    chunk_sizes = []

    def logits(hidden: jax.Array) -> jax.Array:
        chunk_sizes.append(hidden.shape[0])
        return hidden

    target, weight = (jax.ShapeDtypeStruct((rows, length), dtype) for dtype in ("int32", "float32"))
    hidden = jax.ShapeDtypeStruct((rows, length, 2), "float32")
    loss = functools.partial(fused_cross_entropy, logits, smoothing=SMOOTHING, tokens=tokens)
    jax.eval_shape(loss, hidden, target, weight)
    assert set(chunk_sizes) == {chunk_size}
