"""All partitioners compute the same results: one device = a mesh of all devices = pmap, with dropout."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from tests.training.bag import HEADS, Bag, bag_params
from transformer.models.build import abstract_model
from transformer.ops.dropout import KINDS
from transformer.spec import PAD, Spec, TrainSpec
from transformer.training import state as states
from transformer.training import step as steps
from transformer.training.parallel import PARTITIONERS, MeshPartitioner, PmapPartitioner
from transformer.training.state import ModelDef, TrainState

VOCABULARY, STEPS = 13, 3
MODES: dict[str, Callable[[], MeshPartitioner]] = {
    "one": lambda: MeshPartitioner(jax.devices()[:1]),
    "mesh": MeshPartitioner,
    "pmap": PmapPartitioner,
}
every_mode = pytest.mark.parametrize("mode", MODES)


def make_spec() -> Spec:
    config = base.get_config().to_dict()
    sizes = {"d_model": 2 * HEADS, "d_ff": 7, "heads": HEADS, "encoder_layers": 1, "decoder_layers": 1}
    rates = dict(zip(KINDS, (0.1, 0.2, 0.3, 0.4, 0.25), strict=True))
    config["model"] |= sizes | {f"dropout_{kind}": rate for kind, rate in rates.items()}
    config["train"] |= {"warmup_steps": 2, "learning_rate": 0.01, "adam_epsilon": 1e-3, "ema_decay": 0.5}
    return Spec.from_config(config)


SPEC = make_spec()
HYPERPARAMS = steps.hyperparams(SPEC.train, SPEC.model)


class Counted:
    """A model that counts how often it is traced."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.traces = 0

    def __call__(self, params: Any) -> Any:
        self.traces += 1
        return self.model(params)


def batch(number: int, rows: int = 6, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Sentences of 1 to `width` tokens, the last row only padding; two devices get different numbers of tokens."""
    generator = np.random.default_rng(number)
    lengths = generator.integers(1, width + 1, (2, rows, 1))
    lengths[:, -1] = 0
    tokens = generator.integers(4, VOCABULARY, (2, rows, width))
    source_BS, target_BT = np.where(np.arange(width) < lengths, tokens, PAD).astype(np.int32)
    return source_BS, target_BT


def fresh_state(params: Any, settings: TrainSpec = SPEC.train) -> TrainState:
    hyperparams = steps.hyperparams(settings, SPEC.model)
    return steps.initial_state(params, settings, hyperparams, jax.random.key_data(jax.random.key(7)))


class Trained(NamedTuple):
    """The results of a few steps with one partitioner, on the host, and the compiled step."""

    losses: np.ndarray
    state: TrainState
    model: Counted
    step: Callable[..., Any]
    partitioner: MeshPartitioner


def train(mode: str, model: Any, params: Any, settings: TrainSpec = SPEC.train) -> Trained:
    partitioner, counted = MODES[mode](), Counted(model)
    step = partitioner.compile_step(cast(ModelDef, counted), settings)
    state = partitioner.put_state(fresh_state(params, settings))
    hyperparams = partitioner.put_state(steps.hyperparams(settings, SPEC.model))
    losses = []
    for number in range(STEPS):
        source_BS, target_BT = batch(number)
        state, sums = step(state, partitioner.shard(source_BS), partitioner.shard(target_BT), hyperparams)
        assert float(sums.sums.weight) == (target_BT != PAD).sum()
        losses.append([float(sums.sums.loss), float(sums.sums.nll), float(sums.gradient_norm)])
    return Trained(np.array(losses), jax.device_get(partitioner.unreplicate(state)), counted, step, partitioner)


@pytest.fixture(scope="module")
def runs() -> dict[str, Trained]:
    return {mode: train(mode, Bag, bag_params(VOCABULARY)) for mode in MODES}


def assert_equal(single: Trained, sharded: Trained) -> None:
    assert np.isfinite(single.losses).all()
    np.testing.assert_allclose(sharded.losses, single.losses, rtol=1e-5)
    assert jax.tree.structure(sharded.state) == jax.tree.structure(single.state)
    for actual, expected in zip(jax.tree.leaves(sharded.state), jax.tree.leaves(single.state), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_batches_are_sharded_over_devices(runs: dict[str, Trained]) -> None:
    assert len(jax.devices()) > 1 or jax.default_backend() != "cpu"
    assert [PARTITIONERS[mode] for mode in ("mesh", "pmap")] == [MeshPartitioner, PmapPartitioner]
    assert runs["one"].partitioner.batch_parts == 1
    assert runs["mesh"].partitioner.batch_parts == runs["pmap"].partitioner.batch_parts == len(jax.devices())
    assert HYPERPARAMS["dropout"].keys() == set(KINDS)
    rows = runs["mesh"].partitioner.shard(batch(0)[0])
    assert {shard.data.shape for shard in rows.addressable_shards} == {(6 // len(jax.devices()), 5)}


def test_clipping_per_sentence_does_not_depend_on_the_partitioner(runs: dict[str, Trained]) -> None:
    """Devices that hold other numbers of sentences clip by the sentences of the global batch."""
    settings = dataclasses.replace(SPEC.train, clip_norm=0.3, clip_unit="sentence", adam_epsilon=0.1)
    single, mesh, pmap = (train(mode, Bag, bag_params(VOCABULARY), settings) for mode in ("one", "mesh", "pmap"))
    assert_equal(single, mesh)
    assert_equal(single, pmap)
    assert not np.allclose(single.state.params["table"], runs["one"].state.params["table"], atol=1e-3)


@pytest.mark.parametrize("mode", ["mesh", "pmap"])
def test_training_does_not_depend_on_the_partitioner(mode: str, runs: dict[str, Trained]) -> None:
    assert_equal(runs["one"], runs[mode])


def test_devices_share_the_work_of_muon() -> None:
    """Three matrices of one shape and one of another, which devices cannot share equally."""
    generator = np.random.default_rng(1)
    params: dict[str, Any] = bag_params(VOCABULARY)
    params["more"] = [{"kernel": generator.normal(size=(5, VOCABULARY)).astype(np.float32)} for _ in range(2)]
    params["other"] = {"kernel": generator.normal(size=(7, 3)).astype(np.float32)}

    class Regular(Bag):
        """Every matrix has a gradient."""

        def logits(self, hidden_D: jax.Array) -> jax.Array:
            tree = cast(Any, self.params)
            kernels = [self.params["kernel"], *(value["kernel"] for value in tree["more"])]
            logits = hidden_D @ functools.reduce(jnp.multiply, kernels)
            return logits * (1 + jnp.tanh(tree["other"]["kernel"]).sum())

    muon = dataclasses.replace(SPEC.train, optimizer="muon")
    single = train("one", Regular, params, muon)
    assert_equal(single, train("mesh", Regular, params, muon))
    assert_equal(single, train("pmap", Regular, params, muon))
    for before, after in zip(jax.tree.leaves(params), jax.tree.leaves(single.state.params), strict=True):
        assert np.abs(after - before).max() > 1e-3


def test_training_changes_parameters(runs: dict[str, Trained]) -> None:
    """Guards the previous test, which would also pass if steps did nothing."""
    state, params = runs["one"].state, bag_params(VOCABULARY)
    assert (int(state.step), int(state.batch)) == (STEPS, STEPS)
    assert all(np.abs(state.params[name] - params[name]).max() > 1e-2 for name in params)


@pytest.mark.slow
def test_training_a_transformer_does_not_depend_on_the_partitioner() -> None:
    shapes = abstract_model(SPEC.model, VOCABULARY)
    model, params = states.split(shapes)
    generator = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: generator.normal(size=leaf.shape).astype(np.float32), params)
    single = train("one", model, params)
    assert_equal(single, train("mesh", model, params))
    assert_equal(single, train("pmap", model, params))


@every_mode
def test_a_step_is_compiled_once_for_each_shape(mode: str, runs: dict[str, Trained]) -> None:
    """Also when its state is its own result instead of a host array, and when hyperparams change."""
    run = runs[mode]
    assert run.model.traces == 1
    partitioner = run.partitioner
    state = partitioner.put_state(run.state)
    for number, (rows, width) in enumerate([(6, 5), (2, 7), (6, 5), (2, 7)]):
        source_BS, target_BT = batch(number, rows, width)
        changed = HYPERPARAMS | {"learning_rate": np.float32(0.01 * number)}
        arrays = partitioner.shard(source_BS), partitioner.shard(target_BT)
        state, sums = run.step(state, *arrays, partitioner.put_state(changed))
        assert np.isfinite(sums.sums.loss)
    assert run.model.traces == 2
    if mode != "pmap":
        assert cast(Any, run.step)._cache_size() == 2


@every_mode
def test_a_cpu_does_not_donate_the_state(mode: str, runs: dict[str, Trained]) -> None:
    run = runs[mode]
    state = run.partitioner.put_state(run.state)
    run.step(state, *(run.partitioner.shard(rows) for rows in batch(0)), run.partitioner.put_state(HYPERPARAMS))
    for leaf, expected in zip(
        jax.tree.leaves(run.partitioner.unreplicate(state)), jax.tree.leaves(run.state), strict=True
    ):
        np.testing.assert_array_equal(leaf, expected)


@every_mode
def test_other_devices_donate_the_state_but_not_its_original(
    mode: str, runs: dict[str, Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs[mode]
    partitioner = run.partitioner
    monkeypatch.setattr(type(partitioner), "_donate_argnums", (0,))
    original = jax.tree.map(jnp.asarray, run.state)
    state = partitioner.put_state(original)
    arrays = [partitioner.shard(rows) for rows in batch(0)]
    hyperparams = partitioner.put_state(HYPERPARAMS)
    partitioner.compile_step(run.model.model, SPEC.train)(state, *arrays, hyperparams)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.params, state.optimizer, state.average)))
    for leaf in jax.tree.leaves((original, arrays, hyperparams)):
        np.asarray(leaf)  # raises for an array that was deleted
    for leaf, expected in zip(jax.tree.leaves(original), jax.tree.leaves(run.state), strict=True):
        np.testing.assert_array_equal(leaf, expected)


@every_mode
def test_put_state_and_unreplicate(mode: str, runs: dict[str, Trained]) -> None:
    """Every device holds all arrays; `unreplicate` returns the original ones."""
    partitioner, tree = runs[mode].partitioner, {"x": np.arange(7, dtype=np.float32), "y": (np.int32(3),)}
    replicated = partitioner.put_state(tree)
    for leaf in jax.tree.leaves(replicated):
        assert len(leaf.addressable_shards) == partitioner.batch_parts
        assert len({shard.data.shape for shard in leaf.addressable_shards}) == 1
        assert len({np.asarray(shard.data).tobytes() for shard in leaf.addressable_shards}) == 1
    restored = partitioner.unreplicate(replicated)
    assert jax.tree.structure(restored) == jax.tree.structure(tree)
    for actual, expected in zip(jax.tree.leaves(restored), jax.tree.leaves(tree), strict=True):
        np.testing.assert_array_equal(actual, expected)
        assert actual.dtype == expected.dtype


def test_evaluation_does_not_depend_on_the_partitioner(runs: dict[str, Trained]) -> None:
    """One device and all devices compute the same sums, without dropout, for the parameters that pmap trained."""
    source_BS, target_BT = batch(5)
    actual = []
    for mode in ("one", "mesh", "pmap"):
        partitioner = runs[mode].partitioner

        def sums(params: Any, source_BS: jax.Array, target_BT: jax.Array) -> Any:
            return steps.loss_sums(cast(ModelDef, Bag), params, source_BS, target_BT, 0.0, None)

        params = jax.device_put(runs["pmap"].state.params, partitioner.replicated)
        arrays = partitioner.shard(source_BS), partitioner.shard(target_BT)
        actual.append([float(value) for value in partitioner.compile_eval(sums, summed=True)(params, *arrays)])
    assert actual[0][0] == actual[0][1]  # no smoothing
    assert actual[0][2] == (target_BT != PAD).sum()
    np.testing.assert_allclose(actual[1:], [actual[0]] * 2, rtol=1e-5)


def test_concurrent_evaluations_do_not_deadlock(runs: dict[str, Trained]) -> None:
    """Programs with several all-reduces once waited for each other's threads; XLA kills a process that deadlocks."""
    partitioner = runs["mesh"].partitioner

    def sums(params: jax.Array, rows: jax.Array) -> list[jax.Array]:
        actual = []
        for _ in range(5):
            rows = jnp.tanh(rows @ params)
            actual.append(rows.sum())
        return actual

    params = partitioner.put_params(jnp.ones((61, 61)))
    evaluate, rows = partitioner.compile_eval(sums, summed=True), partitioner.shard(np.ones((256, 61), np.float32))
    actual = [evaluate(params, rows) for _ in range(200)]
    np.testing.assert_array_equal(actual[0], actual[-1])
