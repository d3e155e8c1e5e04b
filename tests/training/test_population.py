"""Several runs in one program: each learns what it learns alone, on any number of devices."""

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
from transformer.training.parallel import MeshPlacement, PopulationPlacement
from transformer.training.state import Model, TrainState

VOCABULARY, STEPS, ROWS, WIDTH = 13, 3, 6, 5
CHANGES = [
    {"train.seed": 1},
    {"train.learning_rate": 0.02, "train.warmup_steps": 1, "train.label_smoothing": 0.0, "train.adam_beta1": 0.5},
    {f"model.dropout_{kind}": 0.0 for kind in KINDS} | {"train.ema_decay": 0.9},
    {"train.seed": 2, "train.clip_norm": 0.1, "model.dropout_word": 0.3, "train.adam_beta2": 0.9},
]


BAG = cast(Model, Bag)


def spec(changes: dict[str, float], optimizer: str = "adam") -> Spec:
    config = base.get_config()
    sizes = {"train.warmup_steps": 2, "train.learning_rate": 0.01, "train.adam_epsilon": 1e-3, "train.ema_decay": 0.5}
    settings = {"train.clip_norm": 5.0, "train.optimizer": optimizer, "train.loss_chunk": None}
    config.update_from_flattened_dict({**sizes, **settings, **changes})
    return Spec.from_config(config.to_dict())


def batch(seed: int, number: int) -> np.ndarray:
    """Two sides; each member sees batches of its own."""
    generator = np.random.default_rng([seed, number])
    tokens = generator.integers(4, VOCABULARY, (2, ROWS, WIDTH))
    return np.where(np.arange(WIDTH) < generator.integers(1, WIDTH + 1, (2, ROWS, 1)), tokens, PAD).astype(np.int32)


def fresh(one: Spec) -> TrainState:
    params = bag_params(VOCABULARY, seed=one.train.seed)
    key = jax.random.key_data(jax.random.key(one.train.seed))
    return steps.initial_state(cast(Any, params), one.train, steps.numbers(one.train, one.model), key)


@pytest.fixture(scope="module", params=["adam", "muon"])
def specs(request: pytest.FixtureRequest) -> list[Spec]:
    return [spec(changes, request.param) for changes in CHANGES]


@pytest.fixture(scope="module")
def alone(specs: list[Spec]) -> list[tuple[list[float], TrainState]]:
    """Of each member: losses and the last state, when it is trained by itself."""
    found = []
    for one in specs:
        place = MeshPlacement(jax.devices()[:1])
        step, numbers = place.compile_step(BAG, one.train), steps.numbers(one.train, one.model)
        state, losses = place.distribute(fresh(one)), []
        for number in range(STEPS):
            state, sums = step(state, *batch(one.train.seed, number), numbers)
            losses.append(float(sums.sums.loss))
        found.append((losses, jax.device_get(state)))
    return found


@pytest.mark.parametrize(("members", "devices", "shared"), [(4, 2, 1), (3, 2, 2), (2, 1, 1)])
def test_a_member_learns_what_it_learns_alone(specs, alone, members: int, devices: int, shared: int) -> None:
    """Four members on two devices; three, whose batches two devices share; two on one."""
    specs = specs[:members]
    place = PopulationPlacement(members, jax.devices()[:devices])
    assert (place.mesh.size, place.devices) == (devices, shared)
    shapes = population.shapes(jax.eval_shape(lambda: fresh(specs[0])), members)
    numbers = population.numbers(specs)
    step = place.compile_shapes(BAG, specs[0].train, shapes, numbers, [(ROWS, WIDTH, WIDTH)])
    state, numbers = place.distribute(population.stack([fresh(one) for one in specs])), place.distribute(numbers)
    losses = []
    for number in range(STEPS):
        sides = np.stack([batch(one.train.seed, number) for one in specs], axis=1)
        state, sums = step(state, *map(place.shard, sides), numbers)
        losses.append(np.asarray(sums.sums.loss))
    for number, (expected, last) in enumerate(alone[:members]):
        np.testing.assert_allclose([loss[number] for loss in losses], expected, rtol=1e-5)
        found = population.member(state, number)
        assert jax.tree.structure(found) == jax.tree.structure(last)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(last), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_members_that_have_their_own_devices_exchange_nothing(specs) -> None:
    rows = jax.ShapeDtypeStruct((2, ROWS, WIDTH), np.int32)
    found = []
    for members in (2, 1):
        place = PopulationPlacement(2, jax.devices()[:2]) if members == 2 else MeshPlacement(jax.devices()[:2])
        state, numbers = population.stack([fresh(one) for one in specs[:2]]), population.numbers(specs[:2])
        sides = [rows, rows]
        if members == 1:
            state, numbers = (population.member(tree, 0) for tree in (state, numbers))
            sides = [jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype)] * 2
        step: Any = place.compile_step(BAG, specs[0].train)
        text = step.lower(state, *sides, numbers).compile().as_text()
        found.append(bool(re.search(r"all-reduce\(|all-gather\(", text)))
    assert found == [False, True]


def test_a_kind_of_dropout_that_one_member_has_all_have() -> None:
    found = population.numbers(
        [spec({"model.dropout_word": 0.25}, "adam"), spec({"model.dropout_sublayer": 0.0}, "adam")]
    )
    assert {kind: rates.tolist() for kind, rates in found["dropout"].items()} == {
        "embedding": pytest.approx([0.1, 0.1]),
        "sublayer": pytest.approx([0.1, 0.0]),
        "word": [0.25, 0.0],
    }
