"""Dropout, residual connection and norm around each attention and feed-forward network; Sections 3.1, 5.4."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from transformer.ops.dropout import Dropout, drop


class Sublayer(nnx.Module):
    """Applies a function to x within a wiring: a sequence of steps.

    ("sublayer", "dropout", "add", "norm") is LayerNorm(x + Dropout(f(x))), as published;
    ("norm", "sublayer", "dropout", "add") is pre-norm, x + Dropout(f(LayerNorm(x))).

    Args:
      wiring: the steps, in order; the empty wiring () returns x unchanged.
      make_norm: makes the norm, if it is one of the steps.
    """

    def __init__(self, wiring: tuple[str, ...], make_norm: Callable[[], Callable[[jax.Array], jax.Array]]) -> None:
        self.wiring = wiring
        self.norm = make_norm() if "norm" in wiring else None

    def __call__(
        self, x_BTD: jax.Array, function: Callable[[jax.Array], tuple[jax.Array, Any]], dropout: Dropout | None = None
    ) -> tuple[jax.Array, Any]:
        """Returns the new x_BTD, and the second result of `function`."""
        steps = {"dropout": lambda y: drop(y, dropout, "sublayer"), "add": lambda y: x_BTD + y, "norm": self.norm}
        y, extra = x_BTD, None
        for step in self.wiring:
            if step == "sublayer":
                y, extra = function(y)
            else:
                y = steps[step](y)
        return y, extra
