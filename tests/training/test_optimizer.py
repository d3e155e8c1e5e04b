"""Adam and clipping against hand arithmetic; Muon against singular values."""

import dataclasses
import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

from configs import base
from transformer.spec import Spec, TrainSpec
from transformer.training import optimizer
from transformer.training.state import stack_layers, unstack_layers

TRAIN = dataclasses.replace(Spec.from_config(base.get_config().to_dict()).train, adam_epsilon=0.1)


def hyperparams(**changes: float) -> dict[str, Any]:
    values = {"adam_beta1": 0.9, "adam_beta2": 0.98, "adam_epsilon": 0.1, "clip_norm": np.inf, "weight_decay": 0.0}
    values["adam_factor"] = 1.0
    return {name: jnp.float32(value) for name, value in (values | changes).items()}


def changes(train: TrainSpec, *gradients: dict[str, float], **settings: float) -> list[dict[str, float]]:
    """Returns the update for each gradient in turn."""
    transformation = optimizer.make(train, hyperparams(**settings))
    trees = [{name: jnp.float32(value) for name, value in gradient.items()} for gradient in gradients]
    state = transformation.init(jax.tree.map(jnp.zeros_like, trees[0]))
    updates = []
    for tree in trees:
        change, state = transformation.update(tree, state)
        updates.append({name: float(value) for name, value in cast(dict[str, jax.Array], change).items()})
    return updates


def test_two_steps_of_adam() -> None:
    """Algorithm 1 of Kingma & Ba for gradients 0.5, -0.25 with β₁ 0.9, β₂ 0.98, ε 0.1.

    m: 0.05, then 0.9 · 0.05 - 0.1 · 0.25 = 0.02; corrected by 1 - 0.9 = 0.1 and 1 - 0.81 = 0.19.
    v: 0.005, then 0.98 · 0.005 + 0.02 · 0.0625 = 0.00615; corrected by 0.02 and 1 - 0.9604 = 0.0396.
    """
    first, second = changes(TRAIN, {"x": 0.5}, {"x": -0.25})
    assert first["x"] == pytest.approx(0.5 / (0.5 + 0.1), rel=1e-5)
    assert second["x"] == pytest.approx((0.02 / 0.19) / ((0.00615 / 0.0396) ** 0.5 + 0.1), rel=1e-5)


def test_parameters_do_not_share_moments() -> None:
    joint = changes(TRAIN, {"x": 0.5, "y": -3.0}, {"x": -0.25, "y": 7.0})
    separate = changes(TRAIN, {"y": -3.0}, {"y": 7.0})
    assert [update["y"] for update in joint] == [update["y"] for update in separate]


def test_clipping_scales_the_global_gradient() -> None:
    """(3, 4) has norm 5; clipped to 2 it is (1.2, 1.6), and Adam's first step is g / (|g| + ε)."""
    clipping = dataclasses.replace(TRAIN, clip_norm=2.0)
    (change,) = changes(clipping, {"x": 3.0, "y": -4.0}, clip_norm=2.0)
    assert change == pytest.approx({"x": 1.2 / 1.3, "y": -1.6 / 1.7}, rel=1e-5)


def test_a_small_gradient_is_not_clipped() -> None:
    clipping = dataclasses.replace(TRAIN, clip_norm=5.5)
    assert changes(clipping, {"x": 3.0, "y": -4.0}, clip_norm=5.5) == changes(TRAIN, {"x": 3.0, "y": -4.0})


def test_hyperparams_are_arguments_of_one_program() -> None:
    traces = []

    @jax.jit
    def first_change(gradient: jax.Array, hyperparams: dict[str, Any]) -> optax.Updates:
        traces.append(1)
        transformation = optimizer.make(dataclasses.replace(TRAIN, clip_norm=1.0), hyperparams)
        return transformation.update(gradient, transformation.init(gradient))[0]

    settings: list[dict[str, float]] = [{}, {"adam_epsilon": 0.5}, {"clip_norm": 0.25}]
    actual = [first_change(jnp.float32(0.5), hyperparams(**changed)) for changed in settings]
    assert len(traces) == 1
    np.testing.assert_allclose(actual, [0.5 / 0.6, 0.5 / 1.0, 0.25 / 0.35], rtol=1e-5)


orthogonalize = jax.jit(optimizer.orthogonalize, static_argnums=1)
MUON = dataclasses.replace(TRAIN, optimizer="muon")


def tree(seed: int, **shapes: tuple[int, ...]) -> dict[str, dict[str, jax.Array]]:
    """A normal array of each shape, named as a layer's parameter."""
    generator = np.random.default_rng(seed)
    return {"layer": {name: jnp.float32(generator.normal(size=shape)) for name, shape in shapes.items()}}


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7)], ids=str)
def test_muon_makes_all_singular_values_of_a_matrix_alike(shape: tuple[int, int]) -> None:
    """The first change is U V' of the gradient U S V' but for the iteration's tolerance, 0.2 √max(shape) in size."""
    u, _, vh = np.linalg.svd(np.random.default_rng(0).normal(size=shape), full_matrices=False)
    gradient = {"layer": {"kernel": jnp.float32(u * np.linspace(0.5, 4, min(shape)) @ vh)}}
    kernel = np.asarray(update(MUON, gradient, gradient, hyperparams())["layer"]["kernel"])
    actual = u.T @ kernel @ vh.T / (0.2 * max(shape) ** 0.5)
    np.testing.assert_allclose(actual, np.diag(np.diag(actual)), atol=1e-4)
    assert 0.6 < np.diag(actual).min() <= np.diag(actual).max() < 1.25


@pytest.mark.parametrize("shape", [(2, 5, 5), (1, 7, 3), (3, 3, 7)], ids=str)
def test_muons_iteration_is_that_of_optax(shape: tuple[int, int, int]) -> None:
    stack = jnp.float32(np.random.default_rng(0).normal(size=shape))
    theirs = contrib.scale_by_muon(
        beta=0.0, nesterov=False, weight_dimension_numbers=lambda _: contrib.MuonDimensionNumbers(1, 2)
    )
    expected = jax.jit(lambda stack: theirs.update(stack, theirs.init(stack))[0])(stack)
    np.testing.assert_allclose(orthogonalize(stack), cast(jax.Array, expected), atol=1e-5)


def test_muon_in_bfloat16_differs_by_rounding() -> None:
    stack = jnp.float32(np.random.default_rng(0).normal(size=(2, 13, 31)))
    exact, rounded = (np.asarray(orthogonalize(stack, *dtype)) for dtype in ((), (jnp.bfloat16,)))
    error = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    assert 1e-4 < error < 0.03  # five times three roundings to 2^-9


def test_muon_uses_the_configured_dtype() -> None:
    gradient = tree(0, kernel=(13, 31))
    actual: dict[str | None, np.ndarray] = {}
    for dtype in (None, "float32", "bfloat16"):
        change = update(dataclasses.replace(MUON, muon_dtype=dtype), gradient, gradient, hyperparams())
        actual[dtype] = np.asarray(cast(dict[str, Any], change)["layer"]["kernel"])
    np.testing.assert_array_equal(actual[None], actual["float32"])
    assert not np.array_equal(actual["float32"], actual["bfloat16"])


def test_muon_uses_adam_for_all_but_matrices() -> None:
    gradient = tree(0, kernel=(3, 5), recurrent_RG=(3, 5), table_VD=(7, 3), bias=(5,), scale_D=(3,), vector_HK=(2, 3))
    updates = {}
    for train in (MUON, TRAIN):
        updates[train.optimizer] = update(train, gradient, gradient, hyperparams())["layer"]
    equal = {name for name in gradient["layer"] if np.array_equal(updates["muon"][name], updates["adam"][name])}
    assert equal == {"table_VD", "bias", "scale_D", "vector_HK"}


def test_adam_factor_scales_only_the_parameters_of_adam() -> None:
    gradient = tree(0, kernel=(3, 5), table_VD=(7, 3), bias=(5,))
    actual = {}
    for factor in (1.0, 2.5):
        actual[factor] = update(MUON, gradient, gradient, hyperparams(adam_factor=factor))["layer"]
    np.testing.assert_array_equal(actual[2.5]["kernel"], actual[1.0]["kernel"])
    for other in ("table_VD", "bias"):
        np.testing.assert_allclose(actual[2.5][other], 2.5 * actual[1.0][other], rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "lion"])
def test_only_muon_supports_adam_learning_rate(name: str) -> None:
    message = rf"^train\.adam_learning_rate: 0\.02 has no effect with train\.optimizer={name}; only muon uses it$"
    with pytest.raises(ValueError, match=message):
        optimizer.make(dataclasses.replace(TRAIN, optimizer=name, adam_learning_rate=0.02), hyperparams())


def test_matrices_of_one_shape_do_not_share_moments_in_muon() -> None:
    """They are stacked for speed, and get the same update as separately, also in the second step."""
    gradients = [{str(number): tree(2 * step + number, kernel=(3, 5)) for number in range(2)} for step in range(2)]

    @jax.jit
    def second_change(gradients: list[dict[str, Any]]) -> Any:
        transformation = optimizer.make(MUON, hyperparams())
        first, second = gradients
        _, state = transformation.update(first, transformation.init(first), first)
        return transformation.update(second, state, first)[0]

    joint = second_change(gradients)
    for name in ("0", "1"):
        separate = second_change([{name: gradient[name]} for gradient in gradients])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), joint[name], separate[name])


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_stacked_layers_get_the_updates_of_separate_layers(name: str) -> None:
    """Muon makes each matrix of a stack orthogonal, not the stack."""
    train = dataclasses.replace(TRAIN, optimizer=name)
    apart = {"0": tree(0, kernel=(3, 5), bias=(5,)), "1": tree(1, kernel=(3, 5), bias=(5,))}
    gradient = {"decoder": apart, "embed": tree(2, kernel=(3, 5))}
    transformation = optimizer.make(train, hyperparams())
    separate, state = transformation.update(gradient, transformation.init(gradient), gradient)
    joint_gradient = stack_layers(gradient)
    joint, joint_state = transformation.update(joint_gradient, transformation.init(joint_gradient), joint_gradient)
    assert jax.tree.map(jnp.shape, joint_state) == jax.tree.map(jnp.shape, stack_layers(state))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), unstack_layers(joint), separate)


@functools.partial(jax.jit, static_argnums=0)
def update(train: TrainSpec, gradient: Any, params: Any, numbers: dict[str, Any]) -> Any:
    transformation = optimizer.make(train, numbers)
    return transformation.update(gradient, transformation.init(params), params)[0]


def first_change(name: str, gradient: Any, params: Any, **settings: float) -> Any:
    """Returns the first update of an optimizer."""
    train = dataclasses.replace(TRAIN, optimizer=name, weight_decay=settings.get("weight_decay", 0.0))
    return update(train, gradient, params, hyperparams(**settings))


def test_lion_updates_by_the_sign() -> None:
    """The first change is the sign of (1 - β₁) g."""
    gradient = {"x": jnp.float32(-0.003), "y": jnp.float32(70.0)}
    assert first_change("lion", gradient, gradient) == {"x": -1, "y": 1}


def test_adafactor_updates_are_relative_to_the_parameters() -> None:
    """100 times the parameters give 100 times the update, whatever the size of the gradient; at most one rms."""
    gradient, params = tree(0, kernel=(37, 41)), tree(1, kernel=(37, 41))
    larger = jax.tree.map(lambda leaf: 100 * leaf, params)
    actual, scaled_params, scaled_gradient = (
        first_change("adafactor", *arguments)["layer"]["kernel"]
        for arguments in [(gradient, params), (gradient, larger), (jax.tree.map(lambda g: 7 * g, gradient), params)]
    )
    np.testing.assert_allclose(scaled_params, 100 * actual, rtol=1e-4)
    np.testing.assert_allclose(scaled_gradient, actual, rtol=1e-4)
    rms = float(jnp.sqrt(jnp.mean(actual**2)) / jnp.sqrt(jnp.mean(params["layer"]["kernel"] ** 2)))
    assert 0.5 < rms <= 1.0001


@pytest.mark.parametrize("name", ["adamw", "lion", "muon"])
def test_weight_decay_affects_only_matrices(name: str) -> None:
    gradient, params = (tree(seed, kernel=(3, 5), bias=(5,), table_VD=(7, 3)) for seed in (0, 1))
    plain, decayed = (first_change(name, gradient, params, weight_decay=decay)["layer"] for decay in (0.0, 0.25))
    np.testing.assert_allclose(decayed["kernel"], plain["kernel"] + 0.25 * params["layer"]["kernel"], atol=1e-6)
    for other in ("bias", "table_VD"):
        np.testing.assert_array_equal(decayed[other], plain[other])


def test_adamw_without_decay_is_adam() -> None:
    gradient, params = tree(0, kernel=(3, 5), bias=(5,)), tree(1, kernel=(3, 5), bias=(5,))
    adam, adamw = (first_change(name, gradient, params) for name in ("adam", "adamw"))
    jax.tree.map(np.testing.assert_array_equal, adam, adamw)


@pytest.mark.parametrize("name", ["adam", "adafactor"])
def test_weight_decay_without_effect_is_an_error(name: str) -> None:
    message = rf"^train\.weight_decay: 0\.1 has no effect with train\.optimizer={name}; .*: adamw, lion, muon$"
    with pytest.raises(ValueError, match=message):
        optimizer.make(dataclasses.replace(TRAIN, optimizer=name, weight_decay=0.1), hyperparams())


def test_an_unknown_optimizer_is_an_error_that_lists_all() -> None:
    with pytest.raises(ValueError, match=r"^train\.optimizer: 'sgdd' is none of adam, adamw, adafactor, lion, muon$"):
        optimizer.make(dataclasses.replace(TRAIN, optimizer="sgdd"), hyperparams())
