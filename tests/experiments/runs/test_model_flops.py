"""Model FLOPs of training, against the FLOPs that were counted in the gradient and a device's peak."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import jax
import pytest

from experiments.runs import model_flops
from experiments.runs.model_flops import ModelFlops, batch_flops
from experiments.runs.system import System
from transformer.data.batches.plan import BatchPlan
from transformer.ops.dropout import Dropout
from transformer.ops.flops import matmul_flops
from transformer.spec import Spec
from transformer.training import step as steps
from transformer.training.state import Params

SHAPE = (5, 7, 11)


def make(small: Callable[..., dict[str, Any]], **changes: Any) -> System:
    return System.without_corpus(Spec.from_config(small(**changes)))


@pytest.mark.parametrize("architecture", ["transformer", "rnnsearch"])
def test_the_gradient_takes_twice_the_loss(small: Callable[..., dict[str, Any]], architecture: str) -> None:
    """Three times the loss is what is counted in the program, except for a few sums over tokens."""
    heads = 3 if architecture == "transformer" else 1
    system = make(small, model__architecture=architecture, model__heads=heads)

    def loss(params: Params, source_BS: jax.Array, target_BT: jax.Array) -> jax.Array:
        dropout = Dropout.from_key(jax.random.key(0), system.hyperparams["dropout"])
        args = system.training_model, system.spec.train, params, source_BS, target_BT, system.hyperparams, dropout
        return steps.training_sums(*args).loss

    batch = [jax.ShapeDtypeStruct((SHAPE[0], width), "int32") for width in SHAPE[1:]]
    counted = matmul_flops(jax.grad(loss), system.param_shapes, *batch)
    assert batch_flops(system, SHAPE) == pytest.approx(counted, rel=0.03)


def test_fused_attention_does_the_work_of_plain_attention(small: Callable[..., dict[str, Any]]) -> None:
    plain = make(small)
    kernel = dataclasses.replace(plain.spec.model, attention_kernel="splash")
    fused = dataclasses.replace(plain, spec=dataclasses.replace(plain.spec, model=kernel))
    assert batch_flops(fused, SHAPE) == batch_flops(plain, SHAPE)


class Plan:
    """Batches of two shapes, in turns."""

    shapes = ((2, 3, 5), (4, 6, 10))

    def shape(self, number: int) -> tuple[int, int, int]:
        return self.shapes[number % 2]

    def report(self) -> dict[str, Any]:
        return {"shapes": self.shapes, "batches_per_shape": [30, 10], "batches_per_epoch": 40}


def test_rates(small: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch has rows × 100 FLOPs; the peak of the two devices is 2 × 1000."""
    system, plan = make(small), cast(BatchPlan, Plan())
    monkeypatch.setattr(model_flops, "batch_flops", lambda system, shape: 100 * shape[0])
    of_cpu = ModelFlops(system, plan)
    assert of_cpu.mean() == (30 * 200 + 10 * 400) / 40
    numbers = range(1, 4)
    assert of_cpu.rates(plan, numbers, seconds=4.0) == {"model_flops_per_second": 250}
    monkeypatch.setattr(model_flops, "peak_flops", lambda *_: 1000.0)
    known = ModelFlops(system, plan)
    rates = known.rates(plan, numbers, seconds=4.0, members=3)
    assert rates == {"model_flops_per_second": 250, "mfu": 3 * 250 / 2000}


def test_there_are_no_rates_with_frozen_parameters(small: Callable[..., dict[str, Any]]) -> None:
    """What the gradient saves is not counted, and a speed would be too high."""
    system, plan = make(small, train__freeze="encoder.*"), cast(BatchPlan, Plan())
    assert ModelFlops(system, plan).rates(plan, range(3), seconds=1.0) == {}
