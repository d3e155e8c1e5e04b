"""Loss over a split: a mean over tokens, independent of the batches."""

import math
from typing import Any, cast

import numpy as np
import pytest

from transformer.evaluation import loss
from transformer.ops.losses import LossSums


def sums(batch: tuple[float, float]) -> LossSums:
    """A batch is (negative log-likelihood, tokens); its smoothed loss is not used."""
    nll, weight = batch
    return LossSums(cast(Any, np.float32(997)), cast(Any, np.float32(nll)), cast(Any, np.float32(weight)))


def test_the_mean_is_over_tokens_and_not_over_batches() -> None:
    """5 nats of 1 token and 9 of 9: 14 / 10, not the mean of 5 and 1."""
    values = loss.mean_loss(sums, [(5.0, 1.0), (9.0, 9.0)])
    assert values == pytest.approx({"loss": 1.4, "perplexity": math.exp(1.4)})


def test_the_split_into_batches_does_not_matter() -> None:
    expected = loss.mean_loss(sums, [(14.0, 10.0)])
    assert loss.mean_loss(sums, iter([(5.0, 1.0), (0.0, 0.0), (2.0, 4.0), (7.0, 5.0)])) == expected


@pytest.mark.parametrize("batches", [[], [(0.0, 0.0)]], ids=["no batch", "only padding"])
def test_no_target_tokens_are_rejected(batches: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="no target token"):
        loss.mean_loss(sums, batches)


def test_all_batches_are_dispatched_before_the_first_read() -> None:
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

    assert loss.mean_loss(dispatch, range(3))["loss"] == pytest.approx(1 / 3)
    assert events == ["dispatch"] * 3 + ["read"] * 3


def test_a_huge_loss_has_a_finite_perplexity() -> None:
    values = loss.mean_loss(sums, [(1000.0, 1.0)])
    assert values["loss"] == 1000
    assert math.isfinite(values["perplexity"])
