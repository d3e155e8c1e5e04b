"""The supervisor, on slices of a stand-in cloud that are preempted, deleted and recreated."""

import threading
from pathlib import Path

import pytest

from launch import supervisor
from launch.shell import CommandError
from launch.tpu_vm import NotFoundError
from tests.launch.cloud import Cloud
from tests.launch.slices import STEPS, set_up, steps, wait_until

pytestmark = pytest.mark.usefixtures("packed_once")


@pytest.mark.parametrize(
    ("statuses", "action"),
    [
        (["0", "0"], "done"),
        (["0", "running"], "wait"),
        (["1", "running"], "wait"),
        ([], "wait"),
        (["143", "0"], "restart"),
        (["none", "134"], "restart"),
        (["lost", "1"], "restart"),
        (["0", "1"], "failed"),
        (["2", "2"], "failed"),
    ],
)
def test_next_action(statuses: list[str], action: str) -> None:
    assert supervisor.next_action(statuses) == action


def test_a_killed_run_is_lost_and_restarted(cloud: Cloud, tmp_path: Path) -> None:
    tpu, start = set_up(tmp_path / "run")
    start()
    wait_until(lambda: len(steps(tmp_path / "run")) > 2)
    cloud._signal("pod", 9)
    wait_until(lambda: tpu.statuses() == ["lost"])
    supervisor.supervise(tpu, start, "echo mounted again >prepared", poll=0.02)
    assert (cloud.node("pod") / "0/prepared").read_text() == "mounted again\n"
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))


@pytest.mark.slow
def test_a_queued_slice_is_requested_again(cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tpu, start = set_up(tmp_path / "run", queued=True)
    assert "pod: WAITING_FOR_RESOURCES" in capsys.readouterr().out
    start()
    wait_until(lambda: len(steps(tmp_path / "run")) > 2)
    cloud.preempt("pod")
    assert tpu.state() == "SUSPENDED"
    supervisor.supervise(tpu, start, "", poll=0.02)
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))
    assert cloud.calls.read_text().splitlines().count("queued-resources create pod") == 2


@pytest.mark.slow
def test_without_capacity_the_supervisor_retries(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tpu, start = set_up(tmp_path / "run")
    cloud.preempt("pod")
    (cloud.folder / "no-capacity").touch()
    supervising = threading.Thread(target=supervisor.supervise, args=(tpu, start, "", 0.02))
    supervising.start()
    wait_until(lambda: cloud.calls.read_text().count("create") > 2)
    (cloud.folder / "no-capacity").unlink()
    supervising.join(60)
    assert not supervising.is_alive()
    assert "retrying in" in capsys.readouterr().out
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))


@pytest.mark.slow
def test_a_failed_run_is_not_restarted(cloud: Cloud, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/fail").touch()
    tpu, start = set_up(tmp_path / "run")
    with pytest.raises(CommandError, match="exited with status 1 on its hosts"):
        supervisor.supervise(tpu, start, "", poll=0.02)
    assert tpu.state() == "READY"
    assert "arguments: -m experiments.train" in capfd.readouterr().out  # the last lines of the log
    # The same slice can be used for the next run.
    (tmp_path / "run/fail").unlink()
    supervisor.supervise(tpu, start, "", poll=0.02, delete_at_end=True)
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))
    assert not tpu.exists()


@pytest.mark.usefixtures("cloud")
def test_a_run_in_progress_is_supervised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tpu, start = set_up(tmp_path / "run")
    start()
    supervisor.supervise(tpu, lambda: pytest.fail("started twice"), "", poll=0.02)
    assert "supervising the run that is in progress" in capsys.readouterr().out
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))


def test_a_slice_that_the_user_deleted_is_not_recreated(cloud: Cloud, tmp_path: Path) -> None:
    tpu, start = set_up(tmp_path / "run")
    start()
    user = threading.Timer(0.3, cloud.delete, ["pod"])
    user.start()
    with pytest.raises(NotFoundError):
        supervisor.supervise(tpu, start, "", poll=0.02)
    user.join()
    assert cloud.calls.read_text().splitlines().count("tpu-vm create pod") == 1
