"""Against `lax.scan`, whose gradients are JAX's own. Sizes: time 5, B 3, N 2, R 7, G 11."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.ops import recurrence

TIME, ROWS, BEAMS, SIZE, WIDE = 5, 3, 2, 7, 11


def plain(step, weights, carry, xs, unroll=1):
    return jax.lax.scan(lambda carry, x: step(lambda name, fed: fed @ weights[name], carry, x), carry, xs)


def run(scan, weights, bias, carry, xs, kept):
    """A step with a chain of products, a matrix a row, a parameter from outside and a mask; all its results summed."""

    def step(product, carry, x):
        x, kept_B = x
        wide = jnp.tanh(product("widen", carry) + bias[None, None])
        new = jnp.sin(product("narrow", wide) + x)
        new = new + product("by_row", new)
        carry = jnp.where(kept_B[:, None, None], new, carry)
        return carry, (carry, wide * bias[None, None])

    carry, (ys, wides) = scan(step, weights, carry, (xs, kept))
    weight = 1 + jnp.arange(TIME)[:, None, None, None]
    return jnp.sum(carry**2) + jnp.sum(jnp.cos(ys) * weight) + jnp.sum(wides * weight)


@pytest.fixture(scope="module")
def arguments():
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(generator.normal(0, 0.5, shape), jnp.float32)

    weights = {"widen": draw(SIZE, WIDE), "narrow": draw(WIDE, SIZE), "by_row": draw(ROWS, SIZE, SIZE)}
    kept = generator.random((TIME, ROWS)) > 0.3
    return weights, draw(WIDE), draw(ROWS, BEAMS, SIZE), draw(TIME, ROWS, BEAMS, SIZE), kept


@pytest.mark.parametrize("unroll", [1, 2])
def test_values_and_gradients_are_those_of_a_plain_scan(arguments, unroll: int) -> None:
    scan = functools.partial(recurrence.scan, unroll=unroll)
    (found, gradients), (expected, wanted) = (
        jax.jit(jax.value_and_grad(functools.partial(run, each), argnums=(0, 1, 2, 3)))(*arguments)
        for each in (scan, plain)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert jax.tree.structure(gradients) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(gradients), jax.tree.leaves(wanted), strict=True):
        assert np.abs(other).max() > 0.1
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_no_loop_sums_up_the_gradient_of_a_weight(arguments) -> None:
    """That is what the function is for: nothing of a weight's shape comes out of a loop."""

    def results(scan) -> set[tuple[int, ...]]:
        jaxpr = jax.make_jaxpr(jax.grad(functools.partial(run, scan)))(*arguments)
        loops = [each for each in _equations(jaxpr.jaxpr) if each.primitive.name == "scan"]
        return {result.aval.shape for loop in loops for result in loop.outvars}

    shapes = {(SIZE, WIDE), (WIDE, SIZE), (ROWS, SIZE, SIZE)}
    assert shapes <= results(plain)
    assert not shapes & results(recurrence.scan)


def _equations(jaxpr) -> list:
    """All of them, those of inner programs too."""
    found = []
    for equation in jaxpr.eqns:
        for each in equation.params.values():
            inner = getattr(each, "jaxpr", each)
            found += _equations(inner) if hasattr(inner, "eqns") else []
        found.append(equation)
    return found


def test_a_weight_that_no_step_uses_has_no_gradient() -> None:
    def step(product, carry, x):
        return product("used", carry) + x, None

    def total(weights):
        return jnp.sum(recurrence.scan(step, weights, jnp.ones((1, 2)), jnp.ones((3, 1, 2)))[0])

    gradients = jax.grad(total)({"used": jnp.eye(2), "idle": jnp.eye(3)})
    assert np.abs(gradients["used"]).max() > 0
    np.testing.assert_array_equal(gradients["idle"], np.zeros((3, 3)))
