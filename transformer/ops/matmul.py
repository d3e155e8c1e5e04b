"""Matmuls that accumulate in float32 and whose gradients are matmuls of the same kind.

GPUs, TPUs, and CPUs with AMX or AVX-512 BF16 multiply 16-bit operands several times as fast as float32 ones. On a CPU
two things prevent this. XLA has fast 16-bit matmuls only for a float32 result and a left matrix that is contiguous
along the contracted axis. And JAX computes the gradient of such a matmul in float32, with one operand converted to
float32. This module rounds the gradient to the operands' dtype and transposes operands in memory where a CPU needs it.

A matrix is the last two axes of an array; leading axes, equal in both operands, are batch axes. Names follow BLAS: N
means not transposed, T transposed. No function of this module supports forward-mode differentiation (`jax.jvp`).
"""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

_ROWS, _COLUMNS = -2, -1


def at_precision(function: Callable[..., Any], precision: str) -> Callable[..., Any]:
    """Returns `function`, which traces all float32 matmuls in it, also those of gradients, at a precision.

    Args:
      function: called inside `jax.jit`.
      precision: "default" (bfloat16 on a TPU, TF32 on a GPU), "tensorfloat32" or "float32"; without effect on a CPU.
    """

    @functools.wraps(function)
    def traced(*args: Any) -> Any:
        with jax.default_matmul_precision(precision):
            return function(*args)

    return traced


def _product(x: jax.Array, y: jax.Array, along: tuple[int, int], out: Any) -> jax.Array:
    """Computes the matmul that contracts axis `along` of each operand."""
    leading = tuple(range(x.ndim - 2))
    dimensions = (((x.ndim + along[0],), (y.ndim + along[1],)), (leading, leading))
    if out == jnp.float32 or x.dtype == jnp.float32:
        return jax.lax.dot_general(x, y, dimensions, preferred_element_type=out)
    # Other backends accumulate in float32 whatever the output dtype, and need no second pass to round.
    return jax.lax.platform_dependent(
        x,
        y,
        cpu=lambda x, y: jax.lax.dot_general(x, y, dimensions, preferred_element_type=jnp.float32).astype(out),
        default=lambda x, y: jax.lax.dot_general(x, y, dimensions, preferred_element_type=out),
    )


_nn = jax.custom_vjp(lambda x, y, out: _product(x, y, (_COLUMNS, _ROWS), out), nondiff_argnums=(2,))
_nt = jax.custom_vjp(lambda x, y, out: _product(x, y, (_COLUMNS, _COLUMNS), out), nondiff_argnums=(2,))


def nn(x_MK: jax.Array, y_KN: jax.Array, out: Any) -> jax.Array:
    """Computes x y in dtype `out`."""
    return cast(jax.Array, _nn(x_MK, y_KN, out))


def nt(x_MK: jax.Array, y_NK: jax.Array, out: Any) -> jax.Array:
    """Computes x yᵀ in dtype `out`."""
    return cast(jax.Array, _nt(x_MK, y_NK, out))


def tn(x_KM: jax.Array, y_KN: jax.Array, out: Any) -> jax.Array:
    """Computes xᵀ y in dtype `out`. It serves as a gradient, and its own gradient is JAX's.

    It is not the transpose of yᵀ x, as in JAX's rule: XLA then recomputes the producers of y, including dropout and
    norm, column by column.
    """
    plain = functools.partial(_product, along=(_ROWS, _ROWS), out=out)
    if x_KM.dtype == jnp.float32:
        return plain(x_KM, y_KN)

    def transpose_first(x_KM: jax.Array, y_KN: jax.Array) -> jax.Array:
        x_MK = with_layout_constraint(x_KM.swapaxes(_ROWS, _COLUMNS), Layout(tuple(range(x_KM.ndim))))
        return _product(x_MK, y_KN, (_COLUMNS, _ROWS), out)

    return jax.lax.platform_dependent(x_KM, y_KN, cpu=transpose_first, default=plain)


_affine = jax.custom_vjp(lambda x, kernel, bias: nn(x, kernel, x.dtype) + bias[None])


def affine(x_ND: jax.Array, kernel_DF: jax.Array, bias_F: jax.Array) -> jax.Array:
    """Computes x W + b for each row, in the dtype of `x_ND`, which `kernel_DF` and `bias_F` share."""
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
    def by_matmul(gradient_NF: jax.Array) -> jax.Array:
        ones_1N = jnp.ones((1, gradient_NF.shape[0]), gradient_NF.dtype)
        return nn(ones_1N, gradient_NF, gradient_NF.dtype)[0]

    # On a CPU a sum over rows reads the matrix column by column. Elsewhere float32 matmuls are less exact than sums.
    bias_F = jax.lax.platform_dependent(
        gradient_NF,
        cpu=by_matmul,
        default=lambda gradient_NF: jnp.sum(gradient_NF, 0, jnp.float32).astype(gradient_NF.dtype),
    )
    return *_nn_backward(None, saved, gradient_NF), bias_F


_nn.defvjp(lambda x, y, out: (_nn(x, y, out), (x, y)), _nn_backward)
_nt.defvjp(lambda x, y, out: (_nt(x, y, out), (x, y)), _nt_backward)
_affine.defvjp(lambda x, kernel, bias: (_affine(x, kernel, bias), (x, kernel)), _affine_backward)
