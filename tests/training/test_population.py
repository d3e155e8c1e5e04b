"""A population trains each member as a separate run would, on any number of devices."""

import re
from typing import Any, cast

import jax
import numpy as np
import pytest

from configs import base
from tests.training.bag import Bag, bag_params
from transformer.ops.dropout import KINDS
from transformer.spec import PAD, Spec
from transformer.training import population
from transformer.training import step as steps
from transformer.training.parallel import MeshPartitioner, PopulationPartitioner
from transformer.training.state import ModelDef, TrainState

VOCABULARY, STEPS, ROWS, WIDTH = 13, 3, 6, 5
CHANGES = [
    {"train.seed": 1},
    {"train.learning_rate": 0.02, "train.warmup_steps": 1, "train.label_smoothing": 0.0, "train.adam_beta1": 0.5},
    {f"model.dropout_{kind}": 0.0 for kind in KINDS} | {"train.ema_decay": 0.9},
    {"train.seed": 2, "train.clip_norm": 0.1, "model.dropout_word": 0.3, "train.adam_beta2": 0.9},
]


BAG = cast(ModelDef, Bag)


def spec(changes: dict[str, float], optimizer: str = "adam") -> Spec:
    config = base.get_config()
    sizes = {"train.warmup_steps": 2, "train.learning_rate": 0.01, "train.adam_epsilon": 1e-3, "train.ema_decay": 0.5}
    unit = {"adam": "sentence", "muon": "token"}[optimizer]
    settings = {"train.clip_norm": 5.0, "train.clip_unit": unit, "train.optimizer": optimizer, "train.loss_chunk": None}
    config.update_from_flattened_dict({**sizes, **settings, **changes})
    return Spec.from_config(config.to_dict())


def batch(seed: int, number: int) -> np.ndarray:
    """Returns source and target; each member has different batches."""
    generator = np.random.default_rng([seed, number])
    tokens = generator.integers(4, VOCABULARY, (2, ROWS, WIDTH))
    return np.where(np.arange(WIDTH) < generator.integers(1, WIDTH + 1, (2, ROWS, 1)), tokens, PAD).astype(np.int32)


def fresh(member_spec: Spec) -> TrainState:
    params = bag_params(VOCABULARY, seed=member_spec.train.seed)
    key = jax.random.key_data(jax.random.key(member_spec.train.seed))
    return steps.initial_state(
        cast(Any, params), member_spec.train, steps.hyperparams(member_spec.train, member_spec.model), key
    )


@pytest.fixture(scope="module", params=[pytest.param("adam", marks=pytest.mark.slow), "muon"])
def specs(request: pytest.FixtureRequest) -> list[Spec]:
    return [spec(changes, request.param) for changes in CHANGES]


@pytest.fixture(scope="module")
def separate(specs: list[Spec]) -> list[tuple[list[float], TrainState]]:
    """Returns losses and the last state of each member, trained separately."""
    actual = []
    for member_spec in specs:
        partitioner = MeshPartitioner(jax.devices()[:1])
        step, hyperparams = (
            partitioner.compile_step(BAG, member_spec.train),
            steps.hyperparams(member_spec.train, member_spec.model),
        )
        state, losses = partitioner.put_state(fresh(member_spec)), []
        for number in range(STEPS):
            state, sums = step(state, *batch(member_spec.train.seed, number), hyperparams)
            losses.append(float(sums.sums.loss))
        actual.append((losses, jax.device_get(state)))
    return actual


@pytest.mark.parametrize(("members", "devices", "shared"), [(4, 2, 1), (3, 2, 2), (2, 1, 1)])
def test_a_member_trains_as_in_a_separate_run(specs, separate, members: int, devices: int, shared: int) -> None:
    """Four members on two devices; three whose batches two devices share; two on one device."""
    specs = specs[:members]
    partitioner = PopulationPartitioner(members, jax.devices()[:devices])
    assert (partitioner.mesh.size, partitioner.batch_parts) == (devices, shared)
    shapes = population.stacked_shapes(jax.eval_shape(lambda: fresh(specs[0])), members)
    hyperparams = population.hyperparams(specs)
    step = partitioner.compile_step_aot(BAG, specs[0].train, shapes, hyperparams, [(ROWS, WIDTH, WIDTH)])
    state, hyperparams = (
        partitioner.put_state(population.stack([fresh(member_spec) for member_spec in specs])),
        partitioner.put_state(hyperparams),
    )
    losses = []
    for number in range(STEPS):
        sides = np.stack([batch(member_spec.train.seed, number) for member_spec in specs], axis=1)
        state, sums = step(state, *map(partitioner.shard, sides), hyperparams)
        losses.append(np.asarray(sums.sums.loss))
    for number, (expected, last) in enumerate(separate[:members]):
        np.testing.assert_allclose([loss[number] for loss in losses], expected, rtol=1e-5)
        actual = population.member(state, number)
        assert jax.tree.structure(actual) == jax.tree.structure(last)
        for actual_leaf, expected_leaf in zip(jax.tree.leaves(actual), jax.tree.leaves(last), strict=True):
            np.testing.assert_allclose(actual_leaf, expected_leaf, rtol=1e-4, atol=1e-5)


def test_members_on_different_devices_do_not_communicate(specs) -> None:
    rows = jax.ShapeDtypeStruct((2, ROWS, WIDTH), np.int32)
    actual = []
    for members in (2, 1):
        partitioner = (
            PopulationPartitioner(2, jax.devices()[:2]) if members == 2 else MeshPartitioner(jax.devices()[:2])
        )
        state, hyperparams = (
            population.stack([fresh(member_spec) for member_spec in specs[:2]]),
            population.hyperparams(specs[:2]),
        )
        sides = [rows, rows]
        if members == 1:
            state, hyperparams = (population.member(tree, 0) for tree in (state, hyperparams))
            sides = [jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype)] * 2
        step: Any = partitioner.compile_step(BAG, specs[0].train)
        text = step.lower(state, *sides, hyperparams).compile().as_text()
        actual.append(bool(re.search(r"all-reduce\(|all-gather\(", text)))
    assert actual == [False, True]


def test_all_members_have_the_kinds_of_dropout_of_any_member() -> None:
    actual = population.hyperparams(
        [spec({"model.dropout_word": 0.25}, "adam"), spec({"model.dropout_sublayer": 0.0}, "adam")]
    )
    assert {kind: rates.tolist() for kind, rates in actual["dropout"].items()} == {
        "embedding": pytest.approx([0.1, 0.1]),
        "sublayer": pytest.approx([0.1, 0.0]),
        "word": [0.25, 0.0],
    }
