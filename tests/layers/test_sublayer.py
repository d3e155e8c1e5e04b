import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.layers.layer_norm import LayerNorm
from transformer.layers.sublayer import Sublayer
from transformer.ops.dropout import KINDS, Dropout, drop

D_MODEL = 5
make_norm = functools.partial(LayerNorm, D_MODEL)
dropped = jax.jit(drop, static_argnums=2)
WIRINGS = {
    "post": "sublayer dropout add norm",
    "pre": "norm sublayer dropout add",
    "residual only": "sublayer dropout add",
    "post without residual": "sublayer dropout norm",
    "pre without residual": "norm sublayer dropout",
    "nothing": "sublayer dropout",
}


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 3, D_MODEL)).astype(np.float32)


def function(x):
    """A nonlinear function that differs along the width."""
    return jnp.square(x) + jnp.arange(D_MODEL)[None, None], "what it saw"


def norm(sublayer: Sublayer, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    assert isinstance(sublayer.norm, LayerNorm)
    return normal * np.asarray(sublayer.norm.scale_D[...]) + np.asarray(sublayer.norm.bias_D[...])


def by_hand(name: str, sublayer: Sublayer, x: np.ndarray, dropout: Dropout | None) -> np.ndarray:
    normed = functools.partial(norm, sublayer)

    def f(x: np.ndarray) -> np.ndarray:
        y = np.square(x) + np.arange(D_MODEL, dtype=np.float32)
        return y if dropout is None else np.asarray(dropped(y, dropout, "sublayer"))

    return {
        "post": lambda: normed(x + f(x)),
        "pre": lambda: x + f(normed(x)),
        "residual only": lambda: x + f(x),
        "post without residual": lambda: normed(f(x)),
        "pre without residual": lambda: f(normed(x)),
        "nothing": lambda: f(x),
    }[name]()


@pytest.mark.parametrize("name", WIRINGS)
def test_wirings_by_hand(draw, x, name: str) -> None:
    """With and without dropout, which acts on the function's output before the residual addition."""
    sublayer = draw(lambda: Sublayer(tuple(WIRINGS[name].split()), make_norm))
    assert len(jax.tree.leaves(sublayer)) == (2 if "norm" in WIRINGS[name] else 0)

    @jax.jit
    def run(sublayer, x, dropout):
        y, extra = sublayer(x, function, dropout)
        assert extra == "what it saw"
        return y

    y = run(sublayer, x, None)
    np.testing.assert_allclose(y, by_hand(name, sublayer, x, None), rtol=1e-5, atol=1e-5)

    dropout = Dropout.from_key(jax.random.key(0), {kind: jnp.float32(0.4) for kind in KINDS})
    expected = by_hand(name, sublayer, x, dropout)
    np.testing.assert_allclose(run(sublayer, x, dropout), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected - np.asarray(y)).max() > 0.1


def test_dropout_of_other_kinds_changes_nothing(draw, x) -> None:
    sublayer = draw(lambda: Sublayer(("sublayer", "dropout", "add"), make_norm))
    rates = {kind: jnp.float32(0.9) for kind in KINDS if kind != "sublayer"}
    others = Dropout.from_key(jax.random.key(0), rates)
    np.testing.assert_array_equal(sublayer(x, function, others)[0], sublayer(x, function)[0])


def test_an_empty_wiring_returns_x(x) -> None:
    y, extra = Sublayer((), make_norm)(x, function)
    np.testing.assert_array_equal(y, x)
    assert extra is None
