"""Several processes, each with some of the devices, train, score and stop like a single process."""

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
TIMES = ("seconds", "tokens_per_second", "model_flops_per_second")


def events(folder: pathlib.Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in event.items() if name not in TIMES} for event in metrics.read(folder)]


def assert_same_events(scores: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    for actual, expected_event in zip(scores, expected, strict=True):
        assert actual.pop("split") == expected_event.pop("split")
        assert actual == pytest.approx(expected_event, rel=1e-5)


def valid_steps(folder: pathlib.Path) -> list[int]:
    checkpoints = Workdir(folder).checkpoints
    steps = sorted(manifest.checkpoint_steps(checkpoints))
    assert all(manifest.first_fault(checkpoints / str(step)) is None for step in steps)
    return steps


@pytest.fixture(scope="module")
def settings(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., pathlib.Path]:
    """Writes config files with changes; dropout and a moving average are on, and batches have several shapes."""
    folder = tmp_path_factory.mktemp("configs")

    def make(**changes: Any) -> pathlib.Path:
        usual = {"model__dropout_sublayer": 0.2, "data__buckets": 2, "train__ema_decay": 0.9, "data__examine": "off"}
        name = "_".join(f"{key}{value}" for key, value in changes.items()).replace(".", "") or "usual"
        return pod.write_config(folder / f"{name}.py", small(**usual | {"model__d_model": 24} | changes))

    return make


@pytest.fixture(scope="module")
def single_process(settings: Callable[..., pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a run of a single process with four devices."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    assert pod.train(1, settings(), folder, devices=4).wait_for_exit() == [0]
    return folder


@pytest.mark.slow
def test_two_processes_train_like_one(
    settings: Callable[..., pathlib.Path], single_process: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "run"
    both = pod.train(2, settings(), folder)
    assert both.wait_for_exit() == [0, 0], both.log_text()
    assert "4 × cpu in 2 processes (mesh)" in both.log_text()
    assert "step" not in both.log_text(1), "only the primary process prints"
    assert_same_events(events(folder), events(single_process))
    assert valid_steps(folder) == valid_steps(single_process)
    for path in (single_process / "translations").iterdir():
        assert (folder / "translations" / path.name).read_text() == path.read_text()


@pytest.mark.slow
def test_two_processes_score_like_one(single_process: pathlib.Path, tmp_path: pathlib.Path) -> None:
    command = ["experiments.evaluate", f"--workdir={single_process}", "--split=validation"]
    scores = []
    for count in (1, 2):
        run = pod.Pod(count, command, tmp_path / f"evaluate{count}")
        assert set(run.wait_for_exit()) == {0}, run.log_text()
        scores.append(json.loads(run.log_text().splitlines()[-1]))
        scores[-1].pop("seconds")
    assert scores[0] == scores[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"parallel__fsdp": 4}, {"parallel__tensor": 2, "parallel__fsdp": 2}, {"parallel__mode": "pmap"}],
    ids=["fsdp", "fsdp and tensor", "pmap"],
)
def test_four_processes_train_like_one_with_any_sharding(
    settings: Callable[..., pathlib.Path], single_process: pathlib.Path, tmp_path: pathlib.Path, changes: dict[str, Any]
) -> None:
    folder = tmp_path / "run"
    four = pod.train(4, settings(**changes), folder, devices=1)
    assert four.wait_for_exit() == [0] * 4, four.log_text()
    assert_same_events(events(folder), events(single_process))
    assert valid_steps(folder) == valid_steps(single_process)


# At the rate of Equation 3 for two updates of warm-up, 0.14, a difference in the last bit grows a thousandfold in forty
# updates, and flips a unit at the kink of its ReLU; at this rate the difference does not grow.
STABLE = {"train__learning_rate": 2e-3, "train__warmup_steps": 20}
LONG = STABLE | {"train__steps": 120, "evaluate__every": 60, "checkpoint__every": 10, "evaluate__sentences": 0}


@pytest.fixture(scope="module")
def long(settings: Callable[..., pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("long") / "run"
    assert pod.train(1, settings(**LONG), folder, devices=4).wait_for_exit() == [0]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_to_one_process_stops_all_after_the_same_update(
    settings: Callable[..., pathlib.Path], long: pathlib.Path, tmp_path: pathlib.Path, which: signal.Signals
) -> None:
    folder = tmp_path / "run"
    two = pod.train(2, settings(**LONG), folder)
    two.wait_for("step 20/")
    two.send(1, which)
    assert two.wait_for_exit() == [143, 143], two.log_text() + two.log_text(1)
    assert "same command again" in two.log_text()
    last = valid_steps(folder)[-1]
    assert 20 <= last < 120
    one = pod.train(1, settings(**LONG), folder, devices=4)  # another number of processes
    assert one.wait_for_exit() == [0]
    assert f"continuing after step {last}" in one.log_text()
    # What is logged begins anew after the update that all ended with.
    assert_same_events(*([each for each in events(path) if each["step"] > last + 10] for path in (folder, long)))


@pytest.mark.slow
def test_after_a_kill_the_other_processes_stop_and_the_run_continues(
    settings: Callable[..., pathlib.Path], long: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "run"
    four = pod.train(4, settings(**LONG), folder, devices=1)
    four.wait_for("step 30/")
    four.send(2, signal.SIGKILL)
    assert 0 not in four.wait_for_exit()
    last = valid_steps(folder)[-1]
    assert 20 <= last < 120
    two = pod.train(2, settings(**LONG), folder)
    assert two.wait_for_exit() == [0, 0], two.log_text()
    assert f"continuing after step {last}" in two.log_text()
    assert_same_events(events(folder), events(long))


@pytest.mark.parametrize("missing", distributed.VARIABLES)
def test_an_incomplete_environment_is_an_error(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in distributed.VARIABLES:
        monkeypatch.delenv(name, raising=False)
        if name != missing:
            monkeypatch.setenv(name, "1")
    with pytest.raises(ValueError, match=rf"but not {missing}: set all of them"):
        distributed.initialize("auto")
    distributed.initialize("off")
    assert not distributed.is_distributed()
    assert distributed.is_primary()


def test_processes_are_numbered_from_0(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(distributed.VARIABLES, ("localhost:1", "3", "3"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"JAX_PROCESS_ID=3 of JAX_NUM_PROCESSES=3: .* numbered from 0"):
        distributed.initialize("auto")


def test_a_folder_without_the_primary_config_is_an_error(small: Small, tmp_path: pathlib.Path) -> None:
    from transformer.spec import Spec

    with pytest.raises(ValueError, match="all processes must share one --workdir"):
        Workdir(tmp_path, writes=False).create_or_check(Spec.from_config(small()))
    assert not list(tmp_path.iterdir())
