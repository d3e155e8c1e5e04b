"""Counts the floating-point operations of the matmuls in a program."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core


def matmul_flops(function: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """Counts the operations of all matmuls in one call: a matmul of [m, k] and [k, n] has 2·m·k·n.

    The body of a scan counts once per iteration, and a `cond` as its most expensive branch. Elementwise operations do
    not count, as is usual in comparisons with the peak of a device.

    Args:
      function: traceable by JAX.
      *args: arrays, or their shapes (`jax.ShapeDtypeStruct`).
      **kwargs: arrays, or their shapes.

    Raises:
      ValueError: a `while` loop contains matmuls; its number of iterations is unknown.
    """
    return _jaxpr_flops(jax.make_jaxpr(function)(*args, **kwargs).jaxpr)


def _jaxpr_flops(jaxpr: core.Jaxpr) -> int:
    return sum(_equation_flops(equation) for equation in jaxpr.eqns)


def _equation_flops(equation: core.JaxprEqn) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        inner = math.prod(_shape(equation.invars[0])[axis] for axis in contracted)
        return 2 * inner * math.prod(_shape(equation.outvars[0]))
    nested = [_jaxpr_flops(jaxpr) for jaxpr in _jaxprs(params)]
    if name == "while" and any(nested):
        raise ValueError("a while loop contains matmuls: its number of iterations is unknown before it runs")
    if name == "cond":
        return max(nested)
    return sum(nested) * (params["length"] if name == "scan" else 1)


def _shape(value: Any) -> tuple[int, ...]:
    return value.aval.shape


def _jaxprs(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
    """Yields the jaxprs among an equation's parameters; a custom gradient is a function and not among them."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item
