"""How a batch is shared among devices changes nothing: one device = a mesh of all = pmap, with dropout on."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import base
from tests.training.bag import HEADS, Bag, bag_params
from transformer.models.build import build
from transformer.ops.dropout import KINDS
from transformer.spec import PAD, Spec, TrainSpec
from transformer.training import state as states
from transformer.training import step as steps
from transformer.training.parallel import PLACEMENTS, MeshPlacement, PmapPlacement
from transformer.training.state import Model, TrainState

VOCABULARY, STEPS = 13, 3
PLACES: dict[str, Callable[[], MeshPlacement]] = {
    "one": lambda: MeshPlacement(jax.devices()[:1]),
    "mesh": MeshPlacement,
    "pmap": PmapPlacement,
}
every_place = pytest.mark.parametrize("place", PLACES)


def make_spec() -> Spec:
    config = base.get_config().to_dict()
    sizes = {"d_model": 2 * HEADS, "d_ff": 7, "heads": HEADS, "encoder_layers": 1, "decoder_layers": 1}
    rates = dict(zip(KINDS, (0.1, 0.2, 0.3, 0.4, 0.25), strict=True))
    config["model"] |= sizes | {f"dropout_{kind}": rate for kind, rate in rates.items()}
    config["train"] |= {"warmup_steps": 2, "learning_rate": 0.01, "adam_epsilon": 1e-3, "ema_decay": 0.5}
    return Spec.from_config(config)


SPEC = make_spec()
NUMBERS = steps.numbers(SPEC.train, SPEC.model)


class Counted:
    """A model that counts how often it is traced."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.traces = 0

    def __call__(self, params: Any) -> Any:
        self.traces += 1
        return self.model(params)


def batch(number: int, rows: int = 6, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Sentences of 1 to `width` tokens, the last row padding alone; two devices get different numbers of tokens."""
    generator = np.random.default_rng(number)
    lengths = generator.integers(1, width + 1, (2, rows, 1))
    lengths[:, -1] = 0
    tokens = generator.integers(4, VOCABULARY, (2, rows, width))
    source_BS, target_BT = np.where(np.arange(width) < lengths, tokens, PAD).astype(np.int32)
    return source_BS, target_BT


def fresh_state(params: Any, settings: TrainSpec = SPEC.train) -> TrainState:
    numbers = steps.numbers(settings, SPEC.model)
    return steps.initial_state(params, settings, numbers, jax.random.key_data(jax.random.key(7)))


class Trained(NamedTuple):
    """What came of a few steps in one place, on the host; and what compiled them."""

    losses: np.ndarray
    state: TrainState
    model: Counted
    step: Callable[..., Any]
    placement: MeshPlacement


def train(place: str, model: Any, params: Any, settings: TrainSpec = SPEC.train) -> Trained:
    placement, counted = PLACES[place](), Counted(model)
    step = placement.compile_step(cast(Model, counted), settings)
    state = placement.distribute(fresh_state(params, settings))
    numbers = placement.distribute(steps.numbers(settings, SPEC.model))
    losses = []
    for number in range(STEPS):
        source_BS, target_BT = batch(number)
        state, sums = step(state, placement.shard(source_BS), placement.shard(target_BT), numbers)
        assert float(sums.sums.weight) == (target_BT != PAD).sum()
        losses.append([float(sums.sums.loss), float(sums.sums.nll), float(sums.gradient_norm)])
    return Trained(np.array(losses), jax.device_get(placement.host(state)), counted, step, placement)


@pytest.fixture(scope="module")
def runs() -> dict[str, Trained]:
    return {place: train(place, Bag, bag_params(VOCABULARY)) for place in PLACES}


def assert_equal(one: Trained, other: Trained) -> None:
    assert np.isfinite(one.losses).all()
    np.testing.assert_allclose(other.losses, one.losses, rtol=1e-5)
    assert jax.tree.structure(other.state) == jax.tree.structure(one.state)
    for found, expected in zip(jax.tree.leaves(other.state), jax.tree.leaves(one.state), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_what_is_compared_is_shared_among_devices(runs: dict[str, Trained]) -> None:
    assert len(jax.devices()) > 1 or jax.default_backend() != "cpu"
    assert [PLACEMENTS[place] for place in ("mesh", "pmap")] == [MeshPlacement, PmapPlacement]
    assert runs["one"].placement.devices == 1
    assert runs["mesh"].placement.devices == runs["pmap"].placement.devices == len(jax.devices())
    assert NUMBERS["dropout"].keys() == set(KINDS)
    rows = runs["mesh"].placement.shard(batch(0)[0])
    assert {shard.data.shape for shard in rows.addressable_shards} == {(6 // len(jax.devices()), 5)}


@pytest.mark.parametrize("place", ["mesh", "pmap"])
def test_devices_do_not_change_what_is_learned(place: str, runs: dict[str, Trained]) -> None:
    assert_equal(runs["one"], runs[place])


@pytest.mark.parametrize("place", ["mesh", "pmap"])
def test_devices_share_the_work_of_muon(place: str) -> None:
    """Three matrices of one shape and one of another: no device has as many of them as the others."""
    generator = np.random.default_rng(1)
    params: dict[str, Any] = bag_params(VOCABULARY)
    params["more"] = [{"kernel": generator.normal(size=(5, VOCABULARY)).astype(np.float32)} for _ in range(2)]
    params["other"] = {"kernel": generator.normal(size=(7, 3)).astype(np.float32)}

    class Regular(Bag):
        """Every matrix has a gradient."""

        def logits(self, hidden_D: jax.Array) -> jax.Array:
            tree = cast(Any, self.params)
            kernels = [self.params["kernel"], *(each["kernel"] for each in tree["more"])]
            logits = hidden_D @ functools.reduce(jnp.multiply, kernels)
            return logits * (1 + jnp.tanh(tree["other"]["kernel"]).sum())

    muon = dataclasses.replace(SPEC.train, optimizer="muon")
    one = train("one", Regular, params, muon)
    assert_equal(one, train(place, Regular, params, muon))
    for before, after in zip(jax.tree.leaves(params), jax.tree.leaves(one.state.params), strict=True):
        assert np.abs(after - before).max() > 1e-3


def test_something_is_learned(runs: dict[str, Trained]) -> None:
    """The last test would also pass if steps did nothing."""
    state, params = runs["one"].state, bag_params(VOCABULARY)
    assert (int(state.step), int(state.batch)) == (STEPS, STEPS)
    assert all(np.abs(state.params[name] - params[name]).max() > 1e-2 for name in params)


@pytest.mark.slow
def test_devices_do_not_change_what_the_transformer_learns() -> None:
    shapes = nnx.eval_shape(lambda: build(SPEC.model, VOCABULARY, jax.random.key(0)))
    model, params = states.split(shapes)
    generator = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: generator.normal(size=leaf.shape).astype(np.float32), params)
    one = train("one", model, params)
    assert_equal(one, train("mesh", model, params))
    assert_equal(one, train("pmap", model, params))


@every_place
def test_a_step_is_compiled_once_for_each_shape(place: str, runs: dict[str, Trained]) -> None:
    """Also when its state comes from itself instead of from the host, and when numbers change."""
    run = runs[place]
    assert run.model.traces == 1
    placement = run.placement
    state = placement.distribute(run.state)
    for number, (rows, width) in enumerate([(6, 5), (2, 7), (6, 5), (2, 7)]):
        source_BS, target_BT = batch(number, rows, width)
        changed = NUMBERS | {"learning_rate": np.float32(0.01 * number)}
        arrays = placement.shard(source_BS), placement.shard(target_BT)
        state, sums = run.step(state, *arrays, placement.distribute(changed))
        assert np.isfinite(sums.sums.loss)
    assert run.model.traces == 2
    if place != "pmap":
        assert cast(Any, run.step)._cache_size() == 2


@every_place
def test_a_cpu_keeps_the_state_that_a_step_was_given(place: str, runs: dict[str, Trained]) -> None:
    run = runs[place]
    state = run.placement.distribute(run.state)
    run.step(state, *(run.placement.shard(rows) for rows in batch(0)), run.placement.distribute(NUMBERS))
    for kept, expected in zip(jax.tree.leaves(run.placement.host(state)), jax.tree.leaves(run.state), strict=True):
        np.testing.assert_array_equal(kept, expected)


@every_place
def test_elsewhere_the_state_is_donated_and_what_it_was_made_from_is_not(
    place: str, runs: dict[str, Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs[place]
    placement = run.placement
    monkeypatch.setattr(type(placement), "_donated", (0,))
    original = jax.tree.map(jnp.asarray, run.state)
    state = placement.distribute(original)
    arrays = [placement.shard(rows) for rows in batch(0)]
    numbers = placement.distribute(NUMBERS)
    placement.compile_step(run.model.model, SPEC.train)(state, *arrays, numbers)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.params, state.optimizer, state.average)))
    for leaf in jax.tree.leaves((original, arrays, numbers)):
        np.asarray(leaf)  # raises for an array that was deleted
    for kept, expected in zip(jax.tree.leaves(original), jax.tree.leaves(run.state), strict=True):
        np.testing.assert_array_equal(kept, expected)


@every_place
def test_distribute_and_back(place: str, runs: dict[str, Trained]) -> None:
    """Every device holds everything; `host` gives back the arrays that went in, whatever the devices hold."""
    placement, tree = runs[place].placement, {"x": np.arange(7, dtype=np.float32), "y": (np.int32(3),)}
    replicated = placement.distribute(tree)
    for leaf in jax.tree.leaves(replicated):
        assert len(leaf.addressable_shards) == placement.devices
        assert len({shard.data.shape for shard in leaf.addressable_shards}) == 1
        assert len({np.asarray(shard.data).tobytes() for shard in leaf.addressable_shards}) == 1
    back = placement.host(replicated)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    for found, expected in zip(jax.tree.leaves(back), jax.tree.leaves(tree), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


def test_evaluation_is_shared_among_devices(runs: dict[str, Trained]) -> None:
    """The same sums from one device and from all, without dropout, at the parameters that pmap trained."""
    source_BS, target_BT = batch(5)
    found = []
    for place in ("one", "mesh", "pmap"):
        placement = runs[place].placement

        def sums(params: Any, source_BS: jax.Array, target_BT: jax.Array) -> Any:
            return steps.loss_sums(cast(Model, Bag), params, source_BS, target_BT, 0.0, None)

        params = jax.device_put(runs["pmap"].state.params, placement.replicated)
        arrays = placement.shard(source_BS), placement.shard(target_BT)
        found.append([float(each) for each in placement.compile_rows(sums, summed=True)(params, *arrays)])
    assert found[0][0] == found[0][1]  # no smoothing
    assert found[0][2] == (target_BT != PAD).sum()
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-5)


def test_evaluations_that_are_begun_together_all_end(runs: dict[str, Trained]) -> None:
    """Programs of several sums once waited for each other's threads for ever; XLA ends a process where they do."""
    placement = runs["mesh"].placement

    def sums(params: jax.Array, rows: jax.Array) -> list[jax.Array]:
        found = []
        for _ in range(5):
            rows = jnp.tanh(rows @ params)
            found.append(rows.sum())
        return found

    params = placement.place(jnp.ones((61, 61)))
    evaluate, rows = placement.compile_rows(sums, summed=True), placement.shard(np.ones((256, 61), np.float32))
    found = [evaluate(params, rows) for _ in range(200)]
    np.testing.assert_array_equal(found[0], found[-1])
