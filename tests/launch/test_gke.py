"""launch.gke: the xpk command lines, and user errors."""

import pathlib
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
AT = ("--cluster=c", "--zone=z")
RUN = ("run", *AT, "--name=w", "--config=configs/quickstart.py")


def launch(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "launch.gke", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_command_line_of_run() -> None:
    result = launch(
        *RUN, "--accelerator=v5e-16", "--config.data.path=a b", "--workdir=/mnt/x", "--project=p", "--dry_run"
    )
    assert (result.returncode, result.stderr) == (0, "")
    *words, command = shlex.split(result.stdout)
    assert words == [
        "xpk", "workload", "create", "--cluster=c", "--zone=z", "--project=p", "--workload=w",
        "--tpu-type=v5litepod-16", "--base-docker-image=python:3.12", f"--script-dir={ROOT}", "--max-restarts=20",
        "--restart-on-exit-codes=143",
    ]  # fmt: skip
    assert " sleep 130; fi; pip install --quiet -e '.[tpu]' && exec python -m experiments.train " in command
    assert shlex.split(command)[-4:] == [
        "--config=configs/quickstart.py", "--config.data.path=a b", "--config.parallel.distributed=on",
        "--workdir=/mnt/x",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("list", *AT), "xpk workload list --cluster=c --zone=z"),
        (("delete", *AT, "--name=w"), "xpk workload delete --cluster=c --zone=z --workload=w"),
    ],
)
def test_the_other_command_lines(words: tuple[str, ...], line: str) -> None:
    assert launch(*words, "--dry_run").stdout.strip() == line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("delete", *AT), "delete needs --name"),
        ((*RUN, "--accelerator=v6e-8", "--workdir=runs/x"), "a container's disk is lost with it"),
    ],
)
def test_a_user_error_is_one_line(words: tuple[str, ...], message: str) -> None:
    result = launch(*words, "--dry_run")
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_without_xpk_the_error_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = launch("list", *AT)
    assert result.returncode == 2
    assert result.stderr.startswith("error: xpk is not on PATH; install it with: pip install xpk")
