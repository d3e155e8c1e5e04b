"""Several processes, each with some of the devices, train and score as one process does, and end together."""

import json
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import pytest

from experiments.runs.workdir import Workdir
from experiments.runtime import distributed
from tests import pod
from transformer.training import manifest, metrics

Small = Callable[..., dict[str, Any]]
TIMES = ("seconds", "tokens_per_second")


def events(folder: pathlib.Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.items() if name not in TIMES} for each in metrics.read(folder)]


def assert_same_events(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.pop("split") == other.pop("split")
        assert one == pytest.approx(other, rel=1e-5)


def sound(folder: pathlib.Path) -> list[int]:
    checkpoints = Workdir(folder).checkpoints
    steps = sorted(manifest.steps(checkpoints))
    assert all(manifest.damage(checkpoints / str(step)) is None for step in steps)
    return steps


@pytest.fixture(scope="module")
def settings(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., pathlib.Path]:
    """The path of a config file, with changes; dropout and a moving average on, and several shapes of batches."""
    folder = tmp_path_factory.mktemp("configs")

    def make(**changes: Any) -> pathlib.Path:
        usual = {"model__dropout_sublayer": 0.2, "data__buckets": 2, "train__ema_decay": 0.9, "data__examine": "off"}
        name = "_".join(f"{key}{value}" for key, value in changes.items()).replace(".", "") or "usual"
        return pod.write_config(folder / f"{name}.py", small(**usual | {"model__d_model": 24} | changes))

    return make


@pytest.fixture(scope="module")
def alone(settings: Callable[..., pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a run of one process with four devices."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert pod.train(1, settings(), folder, devices=4).end() == [0]
    return folder


@pytest.mark.slow
def test_two_processes_are_one(
    settings: Callable[..., pathlib.Path], alone: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "run"
    both = pod.train(2, settings(), folder)
    assert both.end() == [0, 0], both.said()
    assert "4 × cpu in 2 processes (mesh)" in both.said()
    assert "step" not in both.said(1), "one of them writes"
    assert_same_events(events(folder), events(alone))
    assert sound(folder) == sound(alone)
    for path in (alone / "translations").iterdir():
        assert (folder / "translations" / path.name).read_text() == path.read_text()


@pytest.mark.slow
def test_scores_of_two_processes_are_those_of_one(alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    command = ["experiments.evaluate", f"--workdir={alone}", "--split=validation"]
    found = []
    for count in (1, 2):
        run = pod.Pod(count, command, tmp_path / f"evaluate{count}")
        assert set(run.end()) == {0}, run.said()
        found.append(json.loads(run.said().splitlines()[-1]))
        found[-1].pop("seconds")
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"parallel__fsdp": 4}, {"parallel__tensor": 2, "parallel__fsdp": 2}, {"parallel__mode": "pmap"}],
    ids=["fsdp", "fsdp and tensor", "pmap"],
)
def test_four_processes_are_one_however_they_share(
    settings: Callable[..., pathlib.Path], alone: pathlib.Path, tmp_path: pathlib.Path, changes: dict[str, Any]
) -> None:
    folder = tmp_path / "run"
    four = pod.train(4, settings(**changes), folder, devices=1)
    assert four.end() == [0] * 4, four.said()
    assert_same_events(events(folder), events(alone))
    assert sound(folder) == sound(alone)


# At the rate of Equation 3 for two updates of warm-up, 0.14, a difference in the last bit grows a thousandfold in forty
# updates, and a unit at the kink of its ReLU falls to the other side; at this rate it does not grow at all.
STABLE = {"train__learning_rate": 2e-3, "train__warmup_steps": 20}
LONG = STABLE | {"train__steps": 120, "evaluate__every": 60, "checkpoint__every": 10, "evaluate__sentences": 0}


@pytest.fixture(scope="module")
def long(settings: Callable[..., pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("long") / "run"
    assert pod.train(1, settings(**LONG), folder, devices=4).end() == [0]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_to_one_process_ends_all_after_the_same_update(
    settings: Callable[..., pathlib.Path], long: pathlib.Path, tmp_path: pathlib.Path, which: signal.Signals
) -> None:
    folder = tmp_path / "run"
    two = pod.train(2, settings(**LONG), folder)
    two.wait_for("step 20/")
    two.send(1, which)
    assert two.end() == [143, 143], two.said() + two.said(1)
    assert "goes on from here" in two.said()
    last = sound(folder)[-1]
    assert 20 <= last < 120
    one = pod.train(1, settings(**LONG), folder, devices=4)  # another number of processes
    assert one.end() == [0]
    assert f"continuing after step {last}" in one.said()
    # What is logged begins anew after the update that all ended with.
    assert_same_events(*([each for each in events(path) if each["step"] > last + 10] for path in (folder, long)))


@pytest.mark.slow
def test_when_one_process_is_killed_the_others_end_and_the_run_goes_on(
    settings: Callable[..., pathlib.Path], long: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "run"
    four = pod.train(4, settings(**LONG), folder, devices=1)
    four.wait_for("step 30/")
    four.send(2, signal.SIGKILL)
    assert 0 not in four.end()
    last = sound(folder)[-1]
    assert 20 <= last < 120
    two = pod.train(2, settings(**LONG), folder)
    assert two.end() == [0, 0], two.said()
    assert f"continuing after step {last}" in two.said()
    assert_same_events(events(folder), events(long))


@pytest.mark.parametrize("missing", distributed.NAMES)
def test_half_of_the_environment_is_a_mistake(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in distributed.NAMES:
        monkeypatch.delenv(name, raising=False)
        if name != missing:
            monkeypatch.setenv(name, "1")
    with pytest.raises(ValueError, match=rf"but not {missing}: all are needed"):
        distributed.join("auto")
    distributed.join("off")
    assert not distributed.several()
    assert distributed.leader()


def test_processes_are_numbered_from_0(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(distributed.NAMES, ("localhost:1", "3", "3"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="JAX_PROCESS_ID=3 of JAX_NUM_PROCESSES=3: they are numbered from 0"):
        distributed.join("auto")


def test_a_folder_that_the_first_process_has_not_begun_is_refused(small: Small, tmp_path: pathlib.Path) -> None:
    from transformer.spec import Spec

    with pytest.raises(ValueError, match="all processes need to see one --workdir"):
        Workdir(tmp_path, writes=False).begin(Spec.from_config(small()))
    assert not list(tmp_path.iterdir())
