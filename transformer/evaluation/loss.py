"""Teacher-forced loss of a model on a split."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax

from transformer.ops.losses import LossSums


def mean_loss(batch_sums: Callable[[Any], LossSums], batches: Iterable[Any]) -> dict[str, float]:
    """Computes loss and perplexity over all target tokens of `batches`, without label smoothing.

    Args:
      batch_sums: computes the loss of one batch as sums; may return before the device is done.
      batches: arguments of `batch_sums`.

    Raises:
      ValueError: there is no target token.
    """
    nll = weight = 0.0
    # All batches are dispatched before the first read, so that the device is never idle.
    for sums in [batch_sums(batch) for batch in batches]:
        sums = jax.device_get(sums)
        nll += float(sums.nll)
        weight += float(sums.weight)
    if weight == 0:
        raise ValueError("no target token to evaluate on")
    return {"loss": nll / weight, "perplexity": math.exp(min(nll / weight, 100.0))}
