"""Adam and clipping by hand, on numbers that are small enough to follow on paper; Muon against singular values."""

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


MUON = dataclasses.replace(TRAIN, optimizer="muon")


def tree(seed: int, **shapes: tuple[int, ...]) -> dict[str, dict[str, jax.Array]]:
    """A normal array of each shape, named as a layer's parameter."""
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return {"layer": {name: jax.random.normal(key, shapes[name]) for name, key in zip(shapes, keys, strict=True)}}


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7)], ids=str)
def test_muon_makes_all_singular_values_of_a_matrix_alike(shape: tuple[int, int]) -> None:
    """The first change is U V' of the gradient U S V' but for the iteration's tolerance, 0.2 √max(shape) in size."""
    left, _, right = np.linalg.svd(np.random.default_rng(0).normal(size=shape), full_matrices=False)
    gradient = {"layer": {"kernel": jnp.float32(left * np.linspace(0.5, 4, min(shape)) @ right)}}
    transformation = optimizer.make(MUON, numbers())
    change, _ = transformation.update(gradient, transformation.init(gradient))
    kernel = np.asarray(cast(dict[str, Any], change)["layer"]["kernel"])
    found = left.T @ kernel @ right.T / (0.2 * max(shape) ** 0.5)
    np.testing.assert_allclose(found, np.diag(np.diag(found)), atol=1e-4)
    assert 0.6 < np.diag(found).min() <= np.diag(found).max() < 1.25


def test_muon_leaves_all_but_matrices_to_adam() -> None:
    gradient = tree(0, kernel=(3, 5), recurrent_RG=(3, 5), table_VD=(7, 3), bias=(5,), scale_D=(3,), vector_HK=(2, 3))
    made = {}
    for train in (MUON, TRAIN):
        transformation = optimizer.make(train, numbers())
        made[train.optimizer] = cast(Any, transformation.update(gradient, transformation.init(gradient))[0])["layer"]
    equal = {name for name in gradient["layer"] if np.array_equal(made["muon"][name], made["adam"][name])}
    assert equal == {"table_VD", "bias", "scale_D", "vector_HK"}


def test_matrices_of_one_shape_do_not_share_moments_in_muon() -> None:
    """Stacked for speed: each gets what it would get alone, two steps on."""
    gradients = [{str(number): tree(2 * step + number, kernel=(3, 5)) for number in range(2)} for step in range(2)]

    def second_change(gradients: list[dict[str, Any]]) -> Any:
        transformation = optimizer.make(MUON, numbers())
        first, second = gradients
        _, state = transformation.update(first, transformation.init(first))
        return transformation.update(second, state)[0]

    together = second_change(gradients)
    for name in ("0", "1"):
        alone = second_change([{name: gradient[name]} for gradient in gradients])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), together[name], alone[name])


def test_an_unknown_optimizer_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"^train\.optimizer: 'sgdd' is none of adam, muon"):
        optimizer.make(dataclasses.replace(TRAIN, optimizer="sgdd"), numbers())
