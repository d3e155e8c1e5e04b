import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.layers.feed_forward import FeedForward, GatedFeedForward, no_feed_forward
from transformer.ops.dropout import KINDS, Dropout, drop

D_MODEL, D_FF = 7, 13


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 5, D_MODEL)).astype(np.float32)


@pytest.fixture
def make(draw):
    """Makes a network with random parameters."""

    def network(activation=jax.nn.relu, dtype=jnp.float32) -> FeedForward:
        build = functools.partial(FeedForward, D_MODEL, D_FF, activation=activation, dtype=dtype)
        return draw(lambda: build(rngs=nnx.Rngs(0)))

    return network


compiled = jax.jit(FeedForward.__call__)


def run(network: FeedForward, x: np.ndarray, dropout: Dropout | None = None) -> np.ndarray:
    return np.asarray(compiled(network, x, dropout))


def weights(network: FeedForward) -> list[np.ndarray]:
    layers = (network.inner, network.outer)
    return [np.asarray(param[...]) for layer in layers for param in (layer.kernel, layer.bias)]


def test_equation_2(make, x) -> None:
    network = make()
    w_1, b_1, w_2, b_2 = weights(network)
    assert w_1.shape == (D_MODEL, D_FF)
    expected = np.maximum(0, x @ w_1 + b_1) @ w_2 + b_2
    np.testing.assert_allclose(run(network, x), expected, atol=1e-5)


def test_activation_is_an_argument(make, x) -> None:
    network = make(activation=jnp.square)
    w_1, b_1, w_2, b_2 = weights(network)
    np.testing.assert_allclose(run(network, x), (x @ w_1 + b_1) ** 2 @ w_2 + b_2, rtol=1e-5, atol=1e-5)


def test_positions_are_independent(make, x) -> None:
    network, order = make(), [3, 0, 4, 2, 1]
    np.testing.assert_allclose(run(network, x[:, order]), run(network, x)[:, order], atol=1e-6)


def test_dropout_acts_after_the_activation(make, x) -> None:
    network = make()
    w_1, b_1, w_2, b_2 = weights(network)
    dropout = Dropout.from_key(jax.random.key(0), {"feed_forward": jnp.float32(0.4)})
    inner_BTF = jax.jit(drop, static_argnums=2)(np.maximum(0, x @ w_1 + b_1), dropout, "feed_forward")
    np.testing.assert_allclose(run(network, x, dropout), np.asarray(inner_BTF) @ w_2 + b_2, atol=1e-5)
    rates = {kind: jnp.float32(0.9) for kind in KINDS if kind != "feed_forward"}
    others = Dropout.from_key(jax.random.key(0), rates)
    np.testing.assert_array_equal(run(network, x, others), run(network, x))


def test_bfloat16_has_float32_parameters(make, x) -> None:
    network = make(dtype=jnp.bfloat16)
    assert all(part.dtype == np.float32 for part in weights(network))
    y = run(network, x.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    long = run(make(), x)
    np.testing.assert_allclose(y.astype(np.float32), long, atol=0.03 * np.abs(long).max())


def test_swiglu(draw, x) -> None:
    network = draw(lambda: GatedFeedForward(D_MODEL, D_FF, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0)))
    w_1, b_1, w_2, b_2 = weights(network)
    w_3, b_3 = (np.asarray(each[...]) for each in (network.gate.kernel, network.gate.bias))
    inner_BTF = x @ w_1 + b_1
    swish_BTF = inner_BTF / (1 + np.exp(-inner_BTF)) * (x @ w_3 + b_3)
    np.testing.assert_allclose(network(x), swish_BTF @ w_2 + b_2, atol=1e-5)
    dropout = Dropout.from_key(jax.random.key(0), {"feed_forward": jnp.float32(0.4)})
    dropped_BTF = drop(jnp.asarray(swish_BTF), dropout, "feed_forward")
    np.testing.assert_allclose(network(x, dropout), np.asarray(dropped_BTF) @ w_2 + b_2, atol=1e-5)


def test_no_feed_forward_returns_x(x) -> None:
    assert no_feed_forward(x) is x
