"""What stands around each attention and feed-forward network: dropout, residual, norm; Sections 3.1, 5.4."""

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from transformer.ops.dropout import Dropout, drop


class Sublayer(nnx.Module):
    """Runs a function of x between the steps of a wiring.

    ("sublayer", "dropout", "add", "norm") is LayerNorm(x + Dropout(f(x))), as published;
    ("norm", "sublayer", "dropout", "add") is pre-norm, x + Dropout(f(LayerNorm(x))).

    Args:
      wiring: the steps, in order; none at all, (), hand x through.
      make_norm: makes the norm, if there is one among the steps.
    """

    def __init__(self, wiring: tuple[str, ...], make_norm: Callable[[], Callable[[jax.Array], jax.Array]]) -> None:
        self.wiring = wiring
        self.norm = make_norm() if "norm" in wiring else None

    def __call__(
        self, x_BTD: jax.Array, function: Callable[[jax.Array], tuple[jax.Array, Any]], dropout: Dropout | None = None
    ) -> tuple[jax.Array, Any]:
        """Returns the new x_BTD, and whatever `function` returned beside its output."""
        steps = {
            "dropout": lambda y: drop(y, dropout, "sublayer"),
            "add": lambda y: x_BTD + y,
            "norm": self.norm,
        }
        y, extra = x_BTD, None
        for step in self.wiring:
            if step == "sublayer":
                y, extra = function(y)
            else:
                y = steps[step](y)
        return y, extra
