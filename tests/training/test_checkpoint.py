"""A state is restored bit for bit, and a resumed run equals an uninterrupted one."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import base
from tests.training.bag import Bag
from transformer.ops.losses import LossSums
from transformer.spec import Spec
from transformer.training import manifest
from transformer.training import step as steps
from transformer.training.checkpoint import Checkpoints, average_last, evaluated_params, quarantine_damaged
from transformer.training.parallel import PARTITIONERS, MeshPartitioner
from transformer.training.state import ModelDef, TrainState, stack_layers, unstack_layers

VOCABULARY, HALF = 13, 3


def make_spec() -> Spec:
    config = base.get_config().to_dict()
    config["train"] |= {"warmup_steps": 2, "learning_rate": 0.1, "ema_decay": 0.5, "accumulate": 2}
    return Spec.from_config(config)


SPEC = make_spec()
HYPERPARAMS = steps.hyperparams(SPEC.train, SPEC.model)


def drawn_state(seed: int = 0, width: int = 5, **changes: Any) -> TrainState:
    """Returns a state of distinct numbers: update 17, with pending gradients of one batch of two."""
    generator = np.random.default_rng(seed)

    def params() -> dict[str, Any]:
        shapes = {"table": (VOCABULARY, width), "kernel": (width, VOCABULARY)}
        return {name: jnp.asarray(generator.normal(size=shape), jnp.float32) for name, shape in shapes.items()}

    return TrainState(
        step=jnp.int32(17),
        batch=jnp.int32(35),
        key=jax.random.key_data(jax.random.key(seed + 7)),
        params=params(),
        optimizer=optax.ScaleByAdamState(jnp.int32(17), params(), params()),
        average=params(),
        pending=(params(), LossSums(jnp.float32(1.1), jnp.float32(2.2), jnp.float32(3.0))),
    )._replace(**changes)


def with_params(number: float, average: float | None = None) -> TrainState:
    """Returns a state whose parameters are all `number`."""
    state = drawn_state()
    fill = lambda value: jax.tree.map(lambda leaf: jnp.full_like(leaf, value), state.params)  # noqa: E731
    return state._replace(params=fill(number), average={} if average is None else fill(average))


def assert_same(actual: Any, expected: Any) -> None:
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a).view(np.uint32), np.asarray(b).view(np.uint32))


def in_layers(state: TrainState, count: int = 11) -> TrainState:
    """Returns a state with the parameters of a Transformer: `state`'s, times the number of the layer."""
    parts = ("params", "average")
    layers = {
        part: {
            "encoder": {str(n): jax.tree.map(lambda leaf, n=n: n * leaf, getattr(state, part)) for n in range(count)}
        }
        for part in parts
    }
    return state._replace(
        **layers, optimizer=optax.ScaleByAdamState(jnp.int32(17), layers["params"], layers["average"])
    )


@pytest.fixture
def checkpoints(tmp_path: Path) -> Iterator[Checkpoints]:
    opened = Checkpoints(tmp_path / "checkpoints")
    yield opened
    opened.close()


def test_a_state_is_restored_bit_for_bit(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """Also by another process, which only has the shapes."""
    state = drawn_state()
    # NaN, minus zero and a subnormal number.
    special = state.params["table"].at[0, :3].set(jnp.array([jnp.nan, -0.0, 1e-45]))
    state = state._replace(params=state.params | {"table": special})
    checkpoints.save(17, state)
    checkpoints.wait()
    reader = Checkpoints(tmp_path / "checkpoints")
    assert reader.steps() == [17]
    assert_same(reader.restore(17, jax.eval_shape(lambda: state)), state)
    reader.close()


@pytest.mark.parametrize("stacked", [False, True])
def test_stacked_layers_are_restored_as_separate_ones_and_vice_versa(checkpoints: Checkpoints, stacked: bool) -> None:
    apart = in_layers(drawn_state())
    joint = stack_layers(apart)
    saved, own = (joint, apart) if stacked else (apart, joint)
    checkpoints.save(17, saved)
    checkpoints.wait()
    assert_same(checkpoints.restore(17, jax.eval_shape(lambda: own)), own)
    assert_same(checkpoints.restore_params(17, own.params), evaluated_params(own))
    assert_same(unstack_layers(joint), apart)


def test_a_stack_of_another_number_of_layers_is_rejected(checkpoints: Checkpoints) -> None:
    checkpoints.save(17, stack_layers(in_layers(drawn_state())))
    checkpoints.wait()
    with pytest.raises(
        ValueError, match=r"encoder\.stacked\.kernel is float32\[11, 5, 13\], expected float32\[3, 5, 13\]"
    ):
        checkpoints.restore_params(17, in_layers(drawn_state(), count=3).params)


def test_a_state_without_average_and_pending(checkpoints: Checkpoints) -> None:
    state = drawn_state(average={}, pending=())
    checkpoints.save(1, state)
    checkpoints.wait()
    assert_same(checkpoints.restore(1, state), state)


def test_the_newest_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.steps() == []
    for step in (1, 9, 10):  # "10" sorts before "9"
        checkpoints.save(step, with_params(step))
    checkpoints.wait()
    assert checkpoints.steps() == [9, 10]
    assert checkpoints.restore(9, drawn_state(average={})).params["table"][0, 0] == 9
    checkpoints.close()


def test_a_step_is_saved_once(checkpoints: Checkpoints) -> None:
    checkpoints.save(3, with_params(1))
    checkpoints.save(3, with_params(2))
    checkpoints.wait()
    checkpoints.save(3, with_params(3))
    checkpoints.wait()
    assert checkpoints.steps() == [3]
    assert checkpoints.restore(3, with_params(0)).params["table"][0, 0] == 1


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpoints]:
    """A checkpoint that another manager wrote."""
    directory = tmp_path_factory.mktemp("saved")
    writer = Checkpoints(directory)
    writer.save(17, drawn_state())
    writer.close()
    reader = Checkpoints(directory)
    yield reader
    reader.close()


def changed_params(**changes: Any) -> dict[str, Any]:
    params = drawn_state().params | changes
    return {"params": {name: leaf for name, leaf in params.items() if leaf is not None}}


def zeros(*shape: int, dtype: Any = np.float32) -> Any:
    return np.zeros(shape, dtype)


ABSENT = "float32[5, 13], expected absent"
MISMATCHES: dict[str, tuple[dict[str, Any], str]] = {
    "another size": (changed_params(kernel=zeros(5, 14)), "params.kernel is float32[5, 13], expected float32[5, 14]"),
    "transposed": (changed_params(kernel=zeros(13, 5)), "params.kernel is float32[5, 13], expected float32[13, 5]"),
    "another dtype": (
        changed_params(kernel=zeros(5, 13, dtype=jnp.bfloat16)),
        "params.kernel is float32[5, 13], expected bfloat16[5, 13]",
    ),
    "a parameter less": (changed_params(kernel=None), f"params.kernel is {ABSENT}"),
    "a parameter more": (changed_params(bias=zeros(3)), "params.bias is absent, expected float32[3]"),
    "no average": ({"average": {}}, f"average.kernel is {ABSENT}, and 1 more differ"),
    "no accumulation": ({"pending": ()}, f"pending.0.kernel is {ABSENT}, and 4 more differ"),
    "another optimizer": (
        {"optimizer": optax.TraceState({})},
        "optimizer.count is int32[], expected absent, and 4 more differ",
    ),
}


@pytest.mark.parametrize("kind", MISMATCHES)
def test_a_checkpoint_of_another_model_is_an_error(kind: str, saved: Checkpoints) -> None:
    changes, difference = MISMATCHES[kind]
    message = re.escape(f"checkpoint 17 belongs to another model or optimizer: {difference}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        saved.restore(17, drawn_state(**changes))


@pytest.mark.parametrize("mode", ["mesh", "one"])
def test_a_save_is_correct_although_the_state_is_donated_at_once(mode: str, checkpoints: Checkpoints) -> None:
    """Steps overwrite the memory of the state while it is written in the background."""
    partitioner = MeshPartitioner(jax.devices()[:1] if mode == "one" else None)
    # Several megabytes, so that writing takes longer than a step. The test reads no device array before the end,
    # because JAX does not overwrite memory that a host view refers to.
    copy = jax.device_get(drawn_state(width=50_021))
    state = partitioner.put_state(copy)
    step = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, state), donate_argnums=0)
    checkpoints.save(1, partitioner.unreplicate(state))
    for _ in range(5):
        state = step(state)
    checkpoints.wait()
    assert_same(checkpoints.restore(1, copy), copy)
    np.testing.assert_allclose(state.params["table"], copy.params["table"] + 5, rtol=1e-5)


def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    source_BS, target_BT = np.random.default_rng(number).integers(1, VOCABULARY, (2, 6, 5)).astype(np.int32)
    return source_BS, target_BT


class Trainer:
    """Trains from one host state to another with a partitioner."""

    def __init__(self, partitioner: MeshPartitioner) -> None:
        self.partitioner = partitioner
        self.step: Callable[..., Any] = partitioner.compile_step(cast(ModelDef, Bag), SPEC.train)
        self.hyperparams = partitioner.put_state(HYPERPARAMS)

    def train(self, state: TrainState, batches: int) -> TrainState:
        """Returns the state on the devices after `batches` batches."""
        first, state = int(state.batch), self.partitioner.put_state(state)
        for number in range(first, first + batches):
            arrays = map(self.partitioner.shard, batch(number))
            state, _ = self.step(state, *arrays, self.hyperparams)
        return state


@pytest.fixture(scope="module", params=PARTITIONERS)
def trainer(request: pytest.FixtureRequest) -> Trainer:
    return Trainer(PARTITIONERS[request.param]())


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(trainer: Trainer, checkpoints: Checkpoints) -> None:
    """2 N batches = N, a checkpoint, a restore, and N. N is odd, so that the checkpoint holds half an update."""
    key = jax.random.key_data(jax.random.key(7))
    fresh = steps.initial_state(cast(Any, drawn_state().params), SPEC.train, HYPERPARAMS, key)
    host = trainer.partitioner.unreplicate
    assert HYPERPARAMS["dropout"].keys() == {"embedding", "sublayer"}

    half = trainer.train(fresh, HALF)
    checkpoints.save(1, host(half))
    checkpoints.wait()
    restored = checkpoints.restore(1, fresh)
    assert_same(restored, jax.device_get(host(half)))
    assert (int(restored.step), int(restored.batch)) == (HALF // 2, HALF)
    assert float(restored.pending[1].weight) == 30

    uninterrupted = host(trainer.train(fresh, 2 * HALF))
    assert_same(host(trainer.train(restored, HALF)), uninterrupted)
    assert int(uninterrupted.step) == HALF
    # Every field of the state matters.
    lost = fresh._replace(key=jax.random.key_data(jax.random.key(8)))
    for name in TrainState._fields:
        continued = host(trainer.train(restored._replace(**{name: getattr(lost, name)}), HALF))
        differs = [
            not np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (continued, uninterrupted)), strict=True)
        ]
        assert any(differs), name


def test_evaluated_params_are_the_average_if_there_is_one() -> None:
    assert evaluated_params(with_params(1))["table"][0, 0] == 1
    assert evaluated_params(with_params(1, average=2))["table"][0, 0] == 2


@pytest.mark.parametrize("averages", [(None, None, None), (1.0, 2.0, 7.5)], ids=["parameters", "averages"])
def test_the_mean_of_the_last(averages: tuple[float | None, ...], checkpoints: Checkpoints) -> None:
    """(2 + 7.5) / 2, and (1 + 2 + 7.5) / 3 if there are fewer checkpoints than requested."""
    for step, number, average in zip((3, 20, 100), (1.0, 2.0, 7.5), averages, strict=True):
        checkpoints.save(step, with_params(number if average is None else -1, average))
    checkpoints.wait()
    like = jax.eval_shape(lambda: with_params(0).params)
    for count, value, used in ((1, 7.5, [100]), (2, 4.75, [20, 100]), (5, 3.5, [3, 20, 100])):
        mean, actual = average_last(checkpoints, count, like)
        assert actual == used
        assert mean.keys() == {"table", "kernel"}
        for name, leaf in mean.items():
            assert leaf.dtype == np.float32
            np.testing.assert_array_equal(leaf, np.full(like[name].shape, value))


def test_restore_params_does_not_depend_on_the_optimizer(saved: Checkpoints) -> None:
    like = drawn_state().params
    actual = saved.restore_params(17, like)
    assert actual.keys() == like.keys()
    for name, leaf in drawn_state().average.items():
        np.testing.assert_array_equal(actual[name], leaf)
    for changes, message in (
        ({"kernel": zeros(5, 14)}, "average.kernel is float32[5, 13], expected float32[5, 14]"),
        ({"bias": zeros(3)}, "average.bias is absent, expected float32[3]"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            saved.restore_params(17, like | changes)


def test_the_mean_of_no_checkpoint_is_an_error(checkpoints: Checkpoints) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        average_last(checkpoints, 3, drawn_state().params)


def damage(folder: Path) -> None:
    """Flips a bit of the largest file."""
    largest = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 3] ^= 16
    largest.write_bytes(content)


def test_a_checkpoint_has_its_manifest_when_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a process that is killed at any time cannot leave a checkpoint without a manifest."""
    names: list[list[str]] = []
    write = manifest.write

    def spy(folder: Path) -> None:
        names.append([path.name for path in tmp_path.iterdir() if path.name.isdecimal()])
        write(folder)

    monkeypatch.setattr(manifest, "write", spy)
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, with_params(step))
    checkpoints.close()
    assert names == [[], ["1"]]
    for step in ("1", "2"):
        assert manifest.first_fault(tmp_path / step) is None
        listed = (tmp_path / step / manifest.NAME).read_text(encoding="utf-8")
        assert "default/" in listed
        assert "_CHECKPOINT_METADATA" not in listed  # Orbax rewrites it on commit


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """A folder with checkpoints 1 to 4, whose parameters are all 1 to 4."""
    writer = Checkpoints(tmp_path)
    for step in (1, 2, 3, 4):
        writer.save(step, with_params(step))
    writer.close()
    return tmp_path


def test_damaged_checkpoints_are_skipped_and_logged(four: Path) -> None:
    damage(four / "4")
    damage(four / "2")
    messages: list[str] = []
    checkpoints = Checkpoints(four, log=messages.append)
    assert checkpoints.valid_steps() == [3]
    assert checkpoints.valid_steps(2) == [1, 3]
    assert any(f"DAMAGED CHECKPOINT {four / '4'}: default/" in text for text in messages)
    params, used = average_last(checkpoints, 2, with_params(0).params)
    assert (used, float(params["table"][0, 0])) == ([1, 3], 2.0)
    checkpoints.close()


def test_a_damaged_step_is_quarantined_and_saved_again(four: Path) -> None:
    damage(four / "4")
    damage(four / "1")  # older than an undamaged one, so it stays
    messages: list[str] = []
    quarantine_damaged(four, messages.append)
    assert [path.name for path in sorted(four.iterdir())] == ["1", "2", "3", "4.damaged1"]
    assert messages[-1] == f"renamed to {four / '4.damaged1'}; training continues from checkpoint 3"
    checkpoints = Checkpoints(four)
    checkpoints.save(4, with_params(44))
    checkpoints.wait()
    assert checkpoints.valid_steps() == [4]
    assert checkpoints.restore(4, with_params(0)).params["table"][0, 0] == 44
    checkpoints.close()
    damage(four / "4")
    quarantine_damaged(four, messages.append)
    assert (four / "4.damaged2").exists()


def test_only_damaged_checkpoints_are_an_error(four: Path) -> None:
    for step in "1234":
        damage(four / step)
    with pytest.raises(ValueError, match=r"all checkpoints are damaged .*restore one from a backup, or remove"):
        quarantine_damaged(four, print)
    assert len(list(four.iterdir())) == 4
    checkpoints = Checkpoints(four)
    with pytest.raises(ValueError, match="all checkpoints are damaged"):
        average_last(checkpoints, 1, with_params(0).params)
    checkpoints.close()


def test_checkpoints_of_versions_without_manifests_are_used(four: Path) -> None:
    for step in "1234":
        (four / step / manifest.NAME).unlink()
    messages: list[str] = []
    checkpoints = Checkpoints(four, log=messages.append)
    assert checkpoints.valid_steps(2) == [3, 4]
    assert "checkpoint 4 has no manifest.sha256: " in messages[0]
    checkpoints.save(5, with_params(5))
    checkpoints.wait()
    assert checkpoints.valid_steps() == [5]
    checkpoints.close()
