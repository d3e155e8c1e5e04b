"""A scan over time whose weights get their gradients after it, in one matrix product each.

Differentiating `lax.scan` adds every step's gradient of every weight matrix to a sum that goes round the loop: as many
small products as there are steps, and each time the whole sum is read and written. Here the loop's backward pass keeps
what each product was fed and the gradient of what came out, and the sums over time are products of those two.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Arrays = dict[str, jax.Array]
Product = Callable[[str, jax.Array], jax.Array]  # (which weights, input [..., R]) to [..., G]


def scan(
    step: Callable[[Product, Any, Any], tuple[Any, Any]], weights: Arrays, carry: Any, xs: Any, unroll: int = 1
) -> tuple[Any, Any]:
    """`lax.scan` of a step that multiplies by some of `weights`.

    Args:
      step: (product, carry, x) → (carry, y), where `product(name, input)` is `input @ weights[name]`, each name at most
        once a step. It may close over parameters, which get their gradients as always.
      weights: matrices [R, G], or [B, R, G] for inputs [B, N, R].
      carry: what the first step is given.
      xs: a tree of arrays whose first axis is time.
      unroll: steps a round of the loop.

    Returns:
      The last carry, and every y, stacked along time.
    """
    first = jax.tree.map(lambda x: x[0], xs)

    def body(weights: Arrays, extra: Arrays | None, carry: Any, x: Any) -> tuple[Any, tuple[Any, Arrays]]:
        inputs: Arrays = {}

        def product(name: str, fed: jax.Array) -> jax.Array:
            inputs[name] = fed
            out = fed @ weights[name]
            return out if extra is None else out + extra[name]

        carry, y = step(product, carry, x)
        return carry, (y, inputs)

    fed = jax.eval_shape(lambda: body(weights, None, carry, first)[1][1])
    # Added to what comes out of each product, so that the gradients of the sums are at hand.
    zeros = {name: jnp.zeros((*each.shape[:-1], weights[name].shape[-1]), each.dtype) for name, each in fed.items()}
    body, closed_over = jax.closure_convert(body, weights, zeros, carry, first)

    def forward(weights: Arrays, closed_over: Any, carry: Any, xs: Any, extra: Any = None) -> tuple[Any, Any]:
        def one(carry: Any, x: Any) -> tuple[Any, Any]:
            carry, (y, inputs) = body(weights, zeros if extra is None else x[1], carry, x[0], *closed_over)
            return carry, (y, None if extra is None else inputs)

        carry, (ys, inputs) = jax.lax.scan(one, carry, (xs, extra), unroll=unroll)
        return (carry, ys), inputs

    @jax.custom_vjp
    def run(weights: Arrays, closed_over: Any, carry: Any, xs: Any) -> tuple[Any, Any]:
        return forward(weights, closed_over, carry, xs)[0]

    def run_forward(weights: Arrays, closed_over: Any, carry: Any, xs: Any) -> tuple[Any, Any]:
        steps = jax.tree.leaves(xs)[0].shape[0]
        extra = {name: jnp.zeros((steps, *each.shape), each.dtype) for name, each in zeros.items()}
        out, backward, inputs = jax.vjp(
            lambda *changing: forward(weights, *changing), closed_over, carry, xs, extra, has_aux=True
        )
        return out, (backward, inputs, weights)

    def run_backward(kept: Any, cotangent: Any) -> Any:
        backward, inputs, weights = kept
        closed_over, carry, xs, extra = backward(cotangent)
        gradients = jax.tree.map(jnp.zeros_like, weights)
        gradients |= {name: _outer(inputs[name], extra[name], weights[name]) for name in inputs}
        return gradients, closed_over, carry, xs

    run.defvjp(run_forward, run_backward)
    return run(weights, closed_over, carry, xs)


def _outer(fed: jax.Array, gradient: jax.Array, weight: jax.Array) -> jax.Array:
    """The gradient of `weight` from what it was multiplied with and the gradient of the products, over all time."""
    if weight.ndim == 2:
        whole = (fed.reshape(-1, fed.shape[-1]), gradient.reshape(-1, gradient.shape[-1]))
        return jnp.einsum("xr,xg->rg", *whole).astype(weight.dtype)
    return jnp.einsum("tbnr,tbng->brg", fed, gradient).astype(weight.dtype)
