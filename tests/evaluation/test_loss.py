"""Losses over a split: sums over tokens, whatever the batches are."""

import math
from typing import Any, cast

import numpy as np
import pytest

from transformer.evaluation import loss
from transformer.ops.losses import LossSums


def sums(batch: tuple[float, float]) -> LossSums:
    """A batch is (negative log-likelihood, tokens); its smoothed loss is another number."""
    nll, weight = batch
    return LossSums(cast(Any, np.float32(997)), cast(Any, np.float32(nll)), cast(Any, np.float32(weight)))


def test_tokens_are_weighed_and_not_batches() -> None:
    """5 nats of 1 token and 9 of 9: 14 / 10, and not the mean of 5 and 1."""
    found = loss.loss(sums, [(5.0, 1.0), (9.0, 9.0)])
    assert found == pytest.approx({"loss": 1.4, "perplexity": math.exp(1.4)})


def test_batches_may_be_cut_anywhere() -> None:
    whole = loss.loss(sums, [(14.0, 10.0)])
    assert loss.loss(sums, iter([(5.0, 1.0), (0.0, 0.0), (2.0, 4.0), (7.0, 5.0)])) == whole


@pytest.mark.parametrize("batches", [[], [(0.0, 0.0)]], ids=["no batch", "padding alone"])
def test_nothing_to_evaluate_on_is_refused(batches: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="no target token"):
        loss.loss(sums, batches)


def test_everything_is_dispatched_before_anything_is_read() -> None:
    events = []

    class Weight:
        def __array__(self, *_: Any, **__: Any) -> np.ndarray:
            events.append("read")
            return np.array(3, np.float32)

        def __float__(self) -> float:
            return float(self.__array__())

    def dispatch(batch: int) -> LossSums:
        events.append("dispatch")
        return LossSums(cast(Any, 0.0), cast(Any, 1.0), cast(Any, Weight()))

    assert loss.loss(dispatch, range(3))["loss"] == pytest.approx(1 / 3)
    assert events == ["dispatch"] * 3 + ["read"] * 3


def test_a_hopeless_model_has_a_perplexity() -> None:
    found = loss.loss(sums, [(1000.0, 1.0)])
    assert found["loss"] == 1000
    assert math.isfinite(found["perplexity"])
