"""Matrix products that add up in float32, and whose gradients are products of the same kind.

Operands of 16 bits are multiplied several times as fast as float32 by what is made for it: GPUs, TPUs, and CPUs with
AMX or AVX-512 BF16. Two things keep a CPU from it. XLA has fast products of 16 bits for those alone whose result is
float32 and whose left matrix lies row by row along the sum. And JAX's own gradient of such a product is one of float32,
with an operand that was made float32 before. Here a gradient is rounded to the operands' dtype, and what does not lie
as a CPU's products want it is written down so.

A matrix is the last two axes of an array; leading axes, the same for both, are products one by one. Names are BLAS's: N
a matrix as it is, T one that is turned. No product here has a gradient in forward mode (`jax.jvp`).
"""

import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

_ROWS, _COLUMNS = -2, -1


def _product(x: jax.Array, y: jax.Array, along: tuple[int, int], out: Any) -> jax.Array:
    """The product that sums along an axis of each."""
    leading = tuple(range(x.ndim - 2))
    dimensions = (((x.ndim + along[0],), (y.ndim + along[1],)), (leading, leading))
    if out == jnp.float32 or x.dtype == jnp.float32:
        return jax.lax.dot_general(x, y, dimensions, preferred_element_type=out)
    # Others add up in float32 whatever they are asked to give, and need no second pass to round it.
    return jax.lax.platform_dependent(
        x,
        y,
        cpu=lambda x, y: jax.lax.dot_general(x, y, dimensions, preferred_element_type=jnp.float32).astype(out),
        default=lambda x, y: jax.lax.dot_general(x, y, dimensions, preferred_element_type=out),
    )


_nn = jax.custom_vjp(lambda x, y, out: _product(x, y, (_COLUMNS, _ROWS), out), nondiff_argnums=(2,))
_nt = jax.custom_vjp(lambda x, y, out: _product(x, y, (_COLUMNS, _COLUMNS), out), nondiff_argnums=(2,))


def nn(x_MK: jax.Array, y_KN: jax.Array, out: Any) -> jax.Array:
    """x y; of dtype `out`."""
    return cast(jax.Array, _nn(x_MK, y_KN, out))


def nt(x_MK: jax.Array, y_NK: jax.Array, out: Any) -> jax.Array:
    """x yᵀ; of dtype `out`."""
    return cast(jax.Array, _nt(x_MK, y_NK, out))


def tn(x_KM: jax.Array, y_KN: jax.Array, out: Any) -> jax.Array:
    """xᵀ y; of dtype `out`. It has no gradient of this kind: it is one.

    Not the transpose of yᵀ x, as JAX's own rule has it: XLA then works out all that led to y, dropout and norm
    included, a second time, column by column.
    """
    plain = functools.partial(_product, along=(_ROWS, _ROWS), out=out)
    if x_KM.dtype == jnp.float32:
        return plain(x_KM, y_KN)

    def turned_first(x_KM: jax.Array, y_KN: jax.Array) -> jax.Array:
        x_MK = with_layout_constraint(x_KM.swapaxes(_ROWS, _COLUMNS), Layout(tuple(range(x_KM.ndim))))
        return _product(x_MK, y_KN, (_COLUMNS, _ROWS), out)

    return jax.lax.platform_dependent(x_KM, y_KN, cpu=turned_first, default=plain)


_affine = jax.custom_vjp(lambda x, kernel, bias: nn(x, kernel, x.dtype) + bias[None])


def affine(x_ND: jax.Array, kernel_DF: jax.Array, bias_F: jax.Array) -> jax.Array:
    """x W + b, the same for each row; of the dtype of `x_ND`, as the others are."""
    return cast(jax.Array, _affine(x_ND, kernel_DF, bias_F))


_Pair = tuple[jax.Array, jax.Array]


def _nn_backward(out: Any, saved: _Pair, gradient_MN: jax.Array) -> _Pair:
    x_MK, y_KN = saved
    gradient_MN = gradient_MN.astype(x_MK.dtype)
    return nt(gradient_MN, y_KN, x_MK.dtype), tn(x_MK, gradient_MN, y_KN.dtype)


def _nt_backward(out: Any, saved: _Pair, gradient_MN: jax.Array) -> _Pair:
    x_MK, y_NK = saved
    gradient_MN = gradient_MN.astype(x_MK.dtype)
    return nn(gradient_MN, y_NK, x_MK.dtype), tn(gradient_MN, x_MK, y_NK.dtype)


def _affine_backward(saved: _Pair, gradient_NF: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    def by_product(gradient_NF: jax.Array) -> jax.Array:
        ones_1N = jnp.ones((1, gradient_NF.shape[0]), gradient_NF.dtype)
        return nn(ones_1N, gradient_NF, gradient_NF.dtype)[0]

    # A CPU's sum over rows reads a matrix column by column; others' products of float32 are less exact than their sums.
    bias_F = jax.lax.platform_dependent(
        gradient_NF,
        cpu=by_product,
        default=lambda gradient_NF: jnp.sum(gradient_NF, 0, jnp.float32).astype(gradient_NF.dtype),
    )
    return *_nn_backward(None, saved, gradient_NF), bias_F


_nn.defvjp(lambda x, y, out: (_nn(x, y, out), (x, y)), _nn_backward)
_nt.defvjp(lambda x, y, out: (_nt(x, y, out), (x, y)), _nt_backward)
_affine.defvjp(lambda x, kernel, bias: (_affine(x, kernel, bias), (x, kernel)), _affine_backward)
