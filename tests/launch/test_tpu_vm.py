"""Slices: accelerator types, the code's archive, and runs on a stand-in cloud."""

import pathlib
import shlex
import shutil
import subprocess
import tarfile

import pytest

from launch.command_line import ROOT
from launch.shell import CommandError
from launch.tpu_vm import STATE_DIR, Accelerator, pack_repository
from tests.launch.cloud import Cloud
from tests.launch.slices import STEPS, set_up, steps, wait_until


@pytest.mark.parametrize("text", ["v5litepod", "v4-", "v4-0", "v4-8-1", "V4-8", ""])
def test_an_invalid_accelerator_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not of the form KIND-SIZE"):
        Accelerator.parse(text)


@pytest.mark.parametrize(
    ("text", "chips", "multi_host"),
    [("v5litepod-16", 16, True), ("v5e-8", 8, False), ("v6e-1", 1, False), ("v4-8", 4, False), ("v5p-16", 8, True)],
)
def test_chips_and_hosts_of_an_accelerator(text: str, chips: int, multi_host: bool) -> None:
    accelerator = Accelerator.parse(text)
    assert (accelerator.chips, accelerator.multi_host) == (chips, multi_host)


def test_the_archive_holds_the_repository_and_its_commit(tmp_path: pathlib.Path) -> None:
    pack_repository(tmp_path / "code.tar.gz")
    with tarfile.open(tmp_path / "code.tar.gz") as archive:
        names = archive.getnames()
        entry = archive.extractfile(".commit")
        assert entry
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, cwd=ROOT)
        assert entry.read().decode().strip("+\n") == head.stdout.strip()
    assert {"pyproject.toml", "launch/tpu_vm.py", "configs/quickstart.py"} <= set(names)
    assert not [name for name in names if name.startswith((".git/", ".venv", "runs/"))]


@pytest.mark.usefixtures("packed_once")
def test_a_run_outlives_its_connection(cloud: Cloud, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    tpu, start = set_up(tmp_path / "run")
    home = cloud.node("pod") / "0"
    assert (home / "prepared").exists()
    assert (home / "transformer-research/experiments/train.py").exists()
    assert tpu.statuses() == ["none"]
    start()
    assert tpu.statuses() == ["running"]
    with pytest.raises(CommandError):
        start()
    assert "a run is already in progress on this host" in capfd.readouterr().err
    wait_until(lambda: tpu.statuses() == ["0"])
    tpu.logs("0", 5, follow=False)
    assert f"--workdir={tmp_path}/run" in capfd.readouterr().out
    tpu.fetch(str(tmp_path / "run"), str(tmp_path / "here"))
    assert steps(tmp_path / "here/run") == list(range(1, STEPS + 1))
    tpu.delete()
    assert not tpu.exists()


def test_a_run_that_exits_during_a_poll_has_its_status(cloud: Cloud, tmp_path: pathlib.Path) -> None:
    """The run writes its status after the first read and before the test of the lock."""
    tpu, _ = set_up(tmp_path / "run")
    state = cloud.node("pod") / "0" / STATE_DIR
    state.mkdir()
    (state / "lock").touch()
    assert tpu.statuses() == ["lost"]
    flock = cloud.folder / "worker-bin/flock"
    flock.write_text(f'#!/bin/sh\necho 0 >{shlex.quote(str(state))}/status\nexec {shutil.which("flock")} "$@"\n')
    flock.chmod(0o755)
    assert tpu.statuses() == ["0"]
