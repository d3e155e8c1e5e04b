"""FLOP counts against hand arithmetic."""

import jax
import jax.numpy as jnp
import pytest

from transformer.ops.flops import matmul_flops

A, B = jnp.ones((2, 3)), jnp.ones((3, 5))


def test_a_matmul_and_its_gradient() -> None:
    """Forward 2·2·3·5; backward one matmul of the same size for each differentiated argument."""
    assert matmul_flops(jnp.matmul, A, B) == 60
    assert matmul_flops(jax.grad(lambda a, b: (a @ b).sum(), argnums=(0, 1)), A, B) == 3 * 60


def test_batch_axes_multiply() -> None:
    assert matmul_flops(
        lambda a, b: jnp.einsum("bthk,bshk->bhts", a, b), jnp.ones((2, 3, 5, 7)), jnp.ones((2, 11, 5, 7))
    ) == (2 * 2 * 5 * 3 * 11 * 7)


def test_a_scan_counts_every_iteration_also_when_nested() -> None:
    def step(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
        return carry @ jnp.ones((3, 3)), None

    def outer(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
        return jax.lax.scan(step, carry, None, length=7)[0], None

    step_flops = 2 * 2 * 3 * 3
    assert matmul_flops(lambda a: jax.lax.scan(step, a, None, length=5), A) == 5 * step_flops
    assert matmul_flops(lambda a: jax.lax.scan(outer, a, None, length=5), A) == 35 * step_flops


def test_inside_jit_remat_and_custom_gradients() -> None:
    @jax.custom_vjp
    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        return a @ b

    product.defvjp(lambda a, b: (a @ b, (a, b)), lambda residuals, g: (g @ residuals[1].T, residuals[0].T @ g))
    assert matmul_flops(jax.jit(product), A, B) == 60
    assert matmul_flops(jax.grad(lambda a: product(a, B).sum()), A) == 3 * 60
    again = jax.checkpoint(lambda a: jnp.sin(jnp.sin(a @ B) @ B.T))
    plain = matmul_flops(jax.grad(lambda a: jnp.sin(jnp.sin(a @ B) @ B.T).sum()), A)
    assert matmul_flops(jax.grad(lambda a: again(a).sum()), A) > plain


def test_the_most_expensive_branch_counts() -> None:
    branches = (lambda a: a @ B @ B.T, lambda a: a)
    assert matmul_flops(lambda a: jax.lax.cond(a[0, 0] > 0, *branches, a), A) == 120


def test_a_while_loop_is_an_error_only_with_matmuls() -> None:
    square = jnp.ones((3, 3))

    def loop(body, value):
        return jax.lax.while_loop(lambda x: x.sum() < 9, body, value)

    assert matmul_flops(lambda: loop(lambda x: x + 1, square)) == 0
    with pytest.raises(ValueError, match="while loop"):
        matmul_flops(lambda: loop(lambda x: x @ square, square))
