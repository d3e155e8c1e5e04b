"""How much arithmetic a program does: the floating-point operations of its matrix products, counted, not estimated."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core


def matmul_flops(function: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """Operations of all matrix products of one call: a product of [m, k] and [k, n] has 2·m·k·n.

    A scan's body counts as often as it runs; of a `cond`, the branch with most. Elementwise work is left out, as is
    usual when work is compared with what a device can multiply.

    Args:
      function: what JAX can trace.
      *args: arrays, or their shapes (`jax.ShapeDtypeStruct`).
      **kwargs: likewise.

    Raises:
      ValueError: products inside a `while` loop, whose rounds cannot be known.
    """
    return _count(jax.make_jaxpr(function)(*args, **kwargs).jaxpr)


def _count(jaxpr: core.Jaxpr) -> int:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: core.JaxprEqn) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        inner = math.prod(_shape(equation.invars[0])[axis] for axis in contracted)
        return 2 * inner * math.prod(_shape(equation.outvars[0]))
    inside = [_count(jaxpr) for jaxpr in _jaxprs(params)]
    if name == "while" and any(inside):
        raise ValueError("a while loop with matrix products: how often it runs is not known before it does")
    if name == "cond":
        return max(inside)
    return sum(inside) * (params["length"] if name == "scan" else 1)


def _shape(value: Any) -> tuple[int, ...]:
    return value.aval.shape


def _jaxprs(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
    """The programs among an equation's parameters; a function that stands for its own gradient is not one of them."""
    for value in params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            if isinstance(each, core.ClosedJaxpr):
                yield each.jaxpr
            elif isinstance(each, core.Jaxpr):
                yield each
