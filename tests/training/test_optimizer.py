"""Adam and clipping by hand, on numbers that are small enough to follow on paper."""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import base
from transformer.spec import Spec, TrainSpec
from transformer.training import optimizer

TRAIN = dataclasses.replace(Spec.from_config(base.get_config().to_dict()).train, adam_epsilon=0.1)


def numbers(**changes: float) -> dict[str, Any]:
    values = {"adam_beta1": 0.9, "adam_beta2": 0.98, "adam_epsilon": 0.1, "clip_norm": np.inf} | changes
    return {name: jnp.float32(value) for name, value in values.items()}


def changes(train: TrainSpec, *gradients: dict[str, float], **settings: float) -> list[dict[str, float]]:
    """What is made of each gradient in turn."""
    transformation = optimizer.make(train, numbers(**settings))
    trees = [{name: jnp.float32(value) for name, value in gradient.items()} for gradient in gradients]
    state = transformation.init(jax.tree.map(jnp.zeros_like, trees[0]))
    made = []
    for tree in trees:
        change, state = transformation.update(tree, state)
        made.append({name: float(value) for name, value in cast(dict[str, jax.Array], change).items()})
    return made


def test_two_steps_of_adam() -> None:
    """Algorithm 1 of Kingma & Ba for gradients 0.5, -0.25 with β₁ 0.9, β₂ 0.98, ε 0.1.

    m: 0.05, then 0.9 · 0.05 - 0.1 · 0.25 = 0.02; corrected by 1 - 0.9 = 0.1 and 1 - 0.81 = 0.19.
    v: 0.005, then 0.98 · 0.005 + 0.02 · 0.0625 = 0.00615; corrected by 0.02 and 1 - 0.9604 = 0.0396.
    """
    first, second = changes(TRAIN, {"x": 0.5}, {"x": -0.25})
    assert first["x"] == pytest.approx(0.5 / (0.5 + 0.1), rel=1e-5)
    assert second["x"] == pytest.approx((0.02 / 0.19) / ((0.00615 / 0.0396) ** 0.5 + 0.1), rel=1e-5)


def test_parameters_do_not_share_moments() -> None:
    together = changes(TRAIN, {"x": 0.5, "y": -3.0}, {"x": -0.25, "y": 7.0})
    alone = changes(TRAIN, {"y": -3.0}, {"y": 7.0})
    assert [each["y"] for each in together] == [each["y"] for each in alone]


def test_clipping_scales_the_whole_gradient() -> None:
    """3 and 4 are 5 long: cut to 2 they are 1.2 and 1.6, and Adam's first step is g / (|g| + ε)."""
    clipping = dataclasses.replace(TRAIN, clip_norm=2.0)
    (change,) = changes(clipping, {"x": 3.0, "y": -4.0}, clip_norm=2.0)
    assert change == pytest.approx({"x": 1.2 / 1.3, "y": -1.6 / 1.7}, rel=1e-5)


def test_a_short_gradient_is_not_clipped() -> None:
    clipping = dataclasses.replace(TRAIN, clip_norm=5.5)
    assert changes(clipping, {"x": 3.0, "y": -4.0}, clip_norm=5.5) == changes(TRAIN, {"x": 3.0, "y": -4.0})


def test_numbers_are_arguments_of_one_program() -> None:
    traces = []

    @jax.jit
    def first_change(gradient: jax.Array, numbers: dict[str, Any]) -> optax.Updates:
        traces.append(1)
        transformation = optimizer.make(dataclasses.replace(TRAIN, clip_norm=1.0), numbers)
        return transformation.update(gradient, transformation.init(gradient))[0]

    settings: list[dict[str, float]] = [{}, {"adam_epsilon": 0.5}, {"clip_norm": 0.25}]
    found = [first_change(jnp.float32(0.5), numbers(**changed)) for changed in settings]
    assert len(traces) == 1
    np.testing.assert_allclose(found, [0.5 / 0.6, 0.5 / 1.0, 0.25 / 0.35], rtol=1e-5)


def test_an_unknown_optimizer_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"^train\.optimizer: 'sgdd' is none of adam"):
        optimizer.make(dataclasses.replace(TRAIN, optimizer="sgdd"), numbers())
