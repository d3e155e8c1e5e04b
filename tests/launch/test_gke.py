"""launch.gke: the xpk command lines, and user errors."""

import functools
import pathlib
import shlex

import pytest

from launch.command_line import ROOT
from tests.launch.conftest import QUICKSTART, assert_user_error, run_module

AT = ("--cluster=c", "--zone=z")
RUN = ("run", *AT, "--name=w", QUICKSTART)
launch = functools.partial(run_module, "launch.gke")


def test_the_command_line_of_run() -> None:
    flags = ("--accelerator=v5e-16", "--config.data.path=a b", "--workdir=/mnt/x", "--project=p", "--dry_run")
    result = launch(*RUN, *flags)
    assert (result.returncode, result.stderr) == (0, "")
    *words, command = shlex.split(result.stdout)
    assert words == [
        "xpk", "workload", "create", "--cluster=c", "--zone=z", "--project=p", "--workload=w",
        "--tpu-type=v5litepod-16", "--base-docker-image=python:3.12", f"--script-dir={ROOT}", "--max-restarts=20",
        "--restart-on-exit-codes=143",
    ]  # fmt: skip
    assert "pip install --quiet -e '.[tpu,gcs]' && exec python -m experiments.train " in command
    assert shlex.split(command)[-5:] == [
        "--config=configs/quickstart.py", "--config.data.path=a b", "--config.parallel.distributed=on",
        "--workdir=/mnt/x", "--wait_for_lock=130",
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
    assert_user_error(launch(*words, "--dry_run"), message)


def test_without_xpk_the_error_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_user_error(launch("list", *AT), "error: xpk is not on PATH; install it with: pip install xpk")
