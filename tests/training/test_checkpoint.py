"""What is saved is what is restored, bit for bit, and a run goes on from it as if nothing had happened."""

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
from transformer.training.checkpoint import Checkpoints, evaluated, mean_of_last, set_aside_damaged
from transformer.training.parallel import PLACEMENTS, MeshPlacement
from transformer.training.state import Model, TrainState

VOCABULARY, HALF = 13, 3


def make_spec() -> Spec:
    config = base.get_config().to_dict()
    config["train"] |= {"warmup_steps": 2, "learning_rate": 0.1, "ema_decay": 0.5, "accumulate": 2}
    return Spec.from_config(config)


SPEC = make_spec()
NUMBERS = steps.numbers(SPEC.train, SPEC.model)


def drawn_state(seed: int = 0, width: int = 5, **changes: Any) -> TrainState:
    """No two numbers in it are the same; update 17, with gradients of one batch of two pending."""
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
    """A state whose parameters are all `number`."""
    state = drawn_state()
    fill = lambda value: jax.tree.map(lambda leaf: jnp.full_like(leaf, value), state.params)  # noqa: E731
    return state._replace(params=fill(number), average={} if average is None else fill(average))


def assert_same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(np.asarray(one).view(np.uint32), np.asarray(other).view(np.uint32))


@pytest.fixture
def checkpoints(tmp_path: Path) -> Iterator[Checkpoints]:
    opened = Checkpoints(tmp_path / "checkpoints")
    yield opened
    opened.close()


def test_a_state_is_restored_bit_for_bit(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """Also by another process, which has nothing but the shapes."""
    state = drawn_state()
    # What text would lose: not a number, minus zero, and a number that is nearly zero.
    special = state.params["table"].at[0, :3].set(jnp.array([jnp.nan, -0.0, 1e-45]))
    state = state._replace(params=state.params | {"table": special})
    checkpoints.save(17, state)
    checkpoints.wait()
    reader = Checkpoints(tmp_path / "checkpoints")
    assert reader.steps() == [17]
    assert_same(reader.restore(17, jax.eval_shape(lambda: state)), state)
    reader.close()


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
    """A checkpoint that another process made."""
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


FEWER = "float32[5, 13] there, absent here"
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "another size": (changed_params(kernel=zeros(5, 14)), "params.kernel is float32[5, 13] there, float32[5, 14] here"),
    "turned round": (changed_params(kernel=zeros(13, 5)), "params.kernel is float32[5, 13] there, float32[13, 5] here"),
    "another dtype": (
        changed_params(kernel=zeros(5, 13, dtype=jnp.bfloat16)),
        "params.kernel is float32[5, 13] there, bfloat16[5, 13] here",
    ),
    "a parameter less": (changed_params(kernel=None), f"params.kernel is {FEWER}"),
    "a parameter more": (changed_params(bias=zeros(3)), "params.bias is absent there, float32[3] here"),
    "no average": ({"average": {}}, f"average.kernel is {FEWER}, and 1 more differ"),
    "no accumulation": ({"pending": ()}, f"pending.0.kernel is {FEWER}, and 4 more differ"),
    "another optimizer": (
        {"optimizer": optax.TraceState({})},
        "optimizer.count is int32[] there, absent here, and 4 more differ",
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_model_is_refused(other: str, saved: Checkpoints) -> None:
    changes, difference = OTHERS[other]
    message = re.escape(f"checkpoint 17 is of another model or optimizer: {difference}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        saved.restore(17, drawn_state(**changes))


@pytest.mark.parametrize("place", ["mesh", "one"])
def test_a_save_is_of_the_moment_although_the_state_is_donated_at_once(place: str, checkpoints: Checkpoints) -> None:
    """Writing goes on in the background while steps overwrite the very memory that is being saved."""
    placement = MeshPlacement(jax.devices()[:1] if place == "one" else None)
    # Some megabytes, so that writing takes longer than a step. The test itself looks at nothing on the devices before
    # the end: jax keeps memory that somebody has a view of from being overwritten.
    copy = jax.device_get(drawn_state(width=50_021))
    state = placement.distribute(copy)
    step = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, state), donate_argnums=0)
    checkpoints.save(1, placement.host(state))
    for _ in range(5):
        state = step(state)
    checkpoints.wait()
    assert_same(checkpoints.restore(1, copy), copy)
    np.testing.assert_allclose(state.params["table"], copy.params["table"] + 5, rtol=1e-5)


def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    source_BS, target_BT = np.random.default_rng(number).integers(1, VOCABULARY, (2, 6, 5)).astype(np.int32)
    return source_BS, target_BT


class Trainer:
    """A run in one place: goes on from a state on the host to another."""

    def __init__(self, placement: MeshPlacement) -> None:
        self.placement = placement
        self.step: Callable[..., Any] = placement.compile_step(cast(Model, Bag), SPEC.train)
        self.numbers = placement.distribute(NUMBERS)

    def train(self, state: TrainState, batches: int) -> TrainState:
        """The state after some batches, as it is on the devices."""
        first, state = int(state.batch), self.placement.distribute(state)
        for number in range(first, first + batches):
            arrays = map(self.placement.shard, batch(number))
            state, _ = self.step(state, *arrays, self.numbers)
        return state


@pytest.fixture(scope="module", params=PLACEMENTS)
def trainer(request: pytest.FixtureRequest) -> Trainer:
    return Trainer(PLACEMENTS[request.param]())


def test_a_run_that_was_cut_off_goes_on_bit_for_bit(trainer: Trainer, checkpoints: Checkpoints) -> None:
    """2 N batches = N, a checkpoint, another process, and N; N is odd, so that half an update is in the checkpoint."""
    key = jax.random.key_data(jax.random.key(7))
    fresh = steps.initial_state(cast(Any, drawn_state().params), SPEC.train, NUMBERS, key)
    host = trainer.placement.host
    assert NUMBERS["dropout"].keys() == {"embedding", "sublayer"}

    half = trainer.train(fresh, HALF)
    checkpoints.save(1, host(half))
    checkpoints.wait()
    restored = checkpoints.restore(1, fresh)
    assert_same(restored, jax.device_get(host(half)))
    assert (int(restored.step), int(restored.batch)) == (HALF // 2, HALF)
    assert float(restored.pending[1].weight) == 30

    whole = host(trainer.train(fresh, 2 * HALF))
    assert_same(host(trainer.train(restored, HALF)), whole)
    assert int(whole.step) == HALF
    # Whatever is not carried on is missed.
    lost = fresh._replace(key=jax.random.key_data(jax.random.key(8)))
    for name in TrainState._fields:
        other = host(trainer.train(restored._replace(**{name: getattr(lost, name)}), HALF))
        differs = [not np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (other, whole)), strict=True)]
        assert any(differs), name


def test_what_is_evaluated_is_the_average_where_there_is_one() -> None:
    assert evaluated(with_params(1))["table"][0, 0] == 1
    assert evaluated(with_params(1, average=2))["table"][0, 0] == 2


@pytest.mark.parametrize("averages", [(None, None, None), (1.0, 2.0, 7.5)], ids=["parameters", "averages"])
def test_the_mean_of_the_last(averages: tuple[float | None, ...], checkpoints: Checkpoints) -> None:
    """(2 + 7.5) / 2, and (1 + 2 + 7.5) / 3 if fewer are there than were asked for."""
    for step, number, average in zip((3, 20, 100), (1.0, 2.0, 7.5), averages, strict=True):
        checkpoints.save(step, with_params(number if average is None else -1, average))
    checkpoints.wait()
    like = jax.eval_shape(lambda: with_params(0).params)
    for count, value, used in ((1, 7.5, [100]), (2, 4.75, [20, 100]), (5, 3.5, [3, 20, 100])):
        mean, found = mean_of_last(checkpoints, count, like)
        assert found == used
        assert mean.keys() == {"table", "kernel"}
        for name, leaf in mean.items():
            assert leaf.dtype == np.float32
            np.testing.assert_array_equal(leaf, np.full(like[name].shape, value))


def test_what_is_evaluated_is_read_whatever_the_optimizer_was(saved: Checkpoints) -> None:
    like = drawn_state().params
    found = saved.evaluated(17, like)
    assert found.keys() == like.keys()
    for name, leaf in drawn_state().average.items():
        np.testing.assert_array_equal(found[name], leaf)
    for changes, message in (
        ({"kernel": zeros(5, 14)}, "average.kernel is float32[5, 13] there, float32[5, 14] here"),
        ({"bias": zeros(3)}, "average.bias is absent there, float32[3] here"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            saved.evaluated(17, like | changes)


def test_no_checkpoint_has_no_mean(checkpoints: Checkpoints) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        mean_of_last(checkpoints, 3, drawn_state().params)


def spoil(folder: Path) -> None:
    """Flips a bit of the largest file."""
    largest = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 3] ^= 16
    largest.write_bytes(content)


def test_a_checkpoint_has_its_manifest_when_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not later: there is no moment at which a process can be killed and leave a checkpoint without one."""
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
        assert manifest.damage(tmp_path / step) is None
        listed = (tmp_path / step / manifest.NAME).read_text(encoding="utf-8")
        assert "default/" in listed
        assert "_CHECKPOINT_METADATA" not in listed  # it is written again on commit


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """A folder with checkpoints 1 to 4, whose parameters are all 1 to 4."""
    writer = Checkpoints(tmp_path)
    for step in (1, 2, 3, 4):
        writer.save(step, with_params(step))
    writer.close()
    return tmp_path


def test_damaged_checkpoints_are_passed_over_and_told_of(four: Path) -> None:
    spoil(four / "4")
    spoil(four / "2")
    said: list[str] = []
    checkpoints = Checkpoints(four, say=said.append)
    assert checkpoints.sound() == [3]
    assert checkpoints.sound(2) == [1, 3]
    assert any(f"DAMAGED CHECKPOINT {four / '4'}: default/" in text for text in said)
    params, used = mean_of_last(checkpoints, 2, with_params(0).params)
    assert (used, float(params["table"][0, 0])) == ([1, 3], 2.0)
    checkpoints.close()


def test_a_damaged_step_is_set_aside_and_saved_again(four: Path) -> None:
    spoil(four / "4")
    spoil(four / "1")  # older than one that is whole: in nobody's way
    said: list[str] = []
    set_aside_damaged(four, said.append)
    assert [path.name for path in sorted(four.iterdir())] == ["1", "2", "3", "4.damaged1"]
    assert said[-1] == f"it is {four / '4.damaged1'} now; training goes on from checkpoint 3"
    checkpoints = Checkpoints(four)
    checkpoints.save(4, with_params(44))
    checkpoints.wait()
    assert checkpoints.sound() == [4]
    assert checkpoints.restore(4, with_params(0)).params["table"][0, 0] == 44
    checkpoints.close()
    spoil(four / "4")
    set_aside_damaged(four, said.append)
    assert (four / "4.damaged2").exists()


def test_nothing_undamaged_is_no_reason_to_begin_anew(four: Path) -> None:
    for step in "1234":
        spoil(four / step)
    with pytest.raises(ValueError, match=r"no checkpoint is undamaged .*restore one from a copy, or remove"):
        set_aside_damaged(four, print)
    assert len(list(four.iterdir())) == 4
    checkpoints = Checkpoints(four)
    with pytest.raises(ValueError, match="no checkpoint is undamaged"):
        mean_of_last(checkpoints, 1, with_params(0).params)
    checkpoints.close()


def test_checkpoints_from_before_there_were_manifests_are_used(four: Path) -> None:
    for step in "1234":
        (four / step / manifest.NAME).unlink()
    said: list[str] = []
    checkpoints = Checkpoints(four, say=said.append)
    assert checkpoints.sound(2) == [3, 4]
    assert "checkpoint 4 has no manifest.sha256: it is used" in said[0]
    checkpoints.save(5, with_params(5))
    checkpoints.wait()
    assert checkpoints.sound() == [5]
    checkpoints.close()
