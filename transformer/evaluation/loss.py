"""Measures a model on a split: teacher-forced loss, and scores of its translations."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax

from transformer.ops.losses import LossSums


def loss(batch_sums: Callable[[Any], LossSums], batches: Iterable[Any]) -> dict[str, float]:
    """Loss and perplexity over all target tokens of `batches`, without label smoothing.

    Args:
      batch_sums: the loss of one batch, as sums; may return before the device is done.
      batches: anything that `batch_sums` takes.

    Raises:
      ValueError: there is no target token.
    """
    nll = weight = 0.0
    # Everything is dispatched before anything is read, so that the device never waits.
    for sums in [batch_sums(batch) for batch in batches]:
        sums = jax.device_get(sums)
        nll += float(sums.nll)
        weight += float(sums.weight)
    if weight == 0:
        raise ValueError("no target token to evaluate on")
    return {"loss": nll / weight, "perplexity": math.exp(min(nll / weight, 100.0))}
