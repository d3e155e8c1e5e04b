"""Eq. 3 and its alternatives, by hand."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from transformer.spec import ModelSpec, Spec, TrainSpec
from transformer.training import schedule

PUBLISHED = Spec.from_config(base.get_config().to_dict())


def fractions(name: str, steps: list[int] | range, warmup: int, last: int) -> np.ndarray:
    """Evaluates the schedule at each of `steps` separately, as the training step does."""
    numbers = jnp.float32(warmup), jnp.float32(last)
    return np.array([schedule.SCHEDULES[name](jnp.float32(step), *numbers) for step in steps])


def equation_3(step: int, train: TrainSpec, model: ModelSpec) -> float:
    """Computes Eq. 3 as printed."""
    return model.d_model**-0.5 * min(step**-0.5, step * train.warmup_steps**-1.5)


@pytest.mark.parametrize(
    ("step", "rate"), [(1, 1.746928e-7), (2000, 3.493856e-4), (4000, 6.987712e-4), (16_000, 3.493856e-4)]
)
def test_the_published_learning_rate(step: int, rate: float) -> None:
    """√512 = 22.627417 and √4000 = 63.245553: the peak is 1 / 1431.0835, half of it lies at 2000 and at 4 · 4000."""
    train, model = PUBLISHED.train, PUBLISHED.model
    assert (model.d_model, train.warmup_steps, train.schedule) == (512, 4000, "inverse_sqrt")
    fraction = fractions("inverse_sqrt", [step], train.warmup_steps, train.steps)[0]
    assert schedule.peak_learning_rate(train, model) * fraction == pytest.approx(rate, rel=1e-6)
    assert equation_3(step, train, model) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize(("d_model", "warmup"), [(11, 1), (11, 7), (13, 101)])
def test_inverse_sqrt_is_equation_3(d_model: int, warmup: int) -> None:
    train = dataclasses.replace(PUBLISHED.train, warmup_steps=warmup)
    model = dataclasses.replace(PUBLISHED.model, d_model=d_model, heads=1)
    steps = [1, 2, 3, 7, 8, 100, 101, 102, 1009]
    actual = schedule.peak_learning_rate(train, model) * fractions("inverse_sqrt", steps, warmup, 5)
    np.testing.assert_allclose(actual, [equation_3(step, train, model) for step in steps], rtol=1e-6)


def test_the_peak_is_derived_or_configured() -> None:
    train = dataclasses.replace(PUBLISHED.train, warmup_steps=25)
    model = dataclasses.replace(PUBLISHED.model, d_model=4, heads=1)
    assert schedule.peak_learning_rate(train, model) == pytest.approx(0.1, rel=1e-12)  # 1 / √(4 · 25)
    assert schedule.peak_learning_rate(dataclasses.replace(train, learning_rate=0.007), model) == 0.007


@pytest.mark.parametrize("name", schedule.SCHEDULES)
def test_the_peak_is_at_the_end_of_the_warm_up(name: str) -> None:
    actual = fractions(name, range(1, 20), warmup=7, last=19)
    assert actual.argmax() + 1 == 7  # the first maximum
    assert actual[6] == 1
    np.testing.assert_allclose(actual[:7], np.arange(1, 8) / 7, rtol=1e-6)


def test_linear_reaches_zero_after_the_last_step() -> None:
    actual = fractions("linear", range(1, 11), warmup=4, last=9)
    np.testing.assert_allclose(actual, [1 / 4, 2 / 4, 3 / 4, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0], atol=1e-7)


@pytest.mark.parametrize("last", [3, 4, 5])
def test_linear_with_a_warm_up_as_long_as_the_run(last: int) -> None:
    """Every step of a run has a positive learning rate."""
    actual = fractions("linear", range(1, last + 1), warmup=5, last=last)
    np.testing.assert_allclose(actual, np.arange(1, last + 1) / 5, rtol=1e-6)


def test_constant_stays() -> None:
    actual = fractions("constant", [1, 2, 3, 4, 5, 1009], warmup=3, last=5)
    np.testing.assert_allclose(actual, [1 / 3, 2 / 3, 1, 1, 1, 1], rtol=1e-6)
