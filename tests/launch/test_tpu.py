"""launch.tpu: the gcloud command lines, user errors, and a run on four hosts of a stand-in cloud."""

import functools
import pathlib
import shlex
import subprocess
import sys
import time

import pytest

from launch.command_line import ROOT
from tests.launch.cloud import Cloud
from tests.launch.conftest import QUICKSTART, assert_user_error, run_module
from tests.launch.slices import STEPS, steps, wait_until

AT = ("--name=pod", "--zone=z")
FOUR = "--accelerator=v5litepod-16"
launch = functools.partial(run_module, "launch.tpu")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("create", *AT, "--accelerator=v5e-16", "--spot"),
            "tpu-vm create pod --zone=z --accelerator-type=v5litepod-16 --version=v2-alpha-tpuv5-lite --spot",
        ),
        (
            ("create", *AT, "--accelerator=v4-32", "--queued", "--project=p"),
            "queued-resources create pod --zone=z --project=p --node-id=pod --accelerator-type=v4-32"
            " --runtime-version=tpu-ubuntu2204-base",
        ),
        (
            ("logs", *AT, "--worker=3", "--lines=7", "--follow"),
            "tpu-vm ssh pod --zone=z --worker=3 --quiet '--command=tail -n 7 -f ~/transformer-research.run/log'",
        ),
        (
            ("fetch", *AT, "--workdir=/mnt/runs/a b", "--to=here"),
            "tpu-vm scp --recurse 'pod:/mnt/runs/a b' here --zone=z --worker=0 --quiet",
        ),
        (("delete", *AT), "tpu-vm delete pod --zone=z --quiet"),
        (("delete", *AT, "--queued"), "queued-resources delete pod --zone=z --quiet --force"),
    ],
    ids=["create", "queue", "logs", "fetch", "delete", "delete from the queue"],
)
def test_dry_run_prints_the_line(words: tuple[str, ...], line: str) -> None:
    result = launch(*words, "--dry_run")
    assert (result.returncode, result.stderr) == (0, "")
    lines = [text for text in result.stdout.splitlines() if not text.startswith("# ")]
    assert lines == [f"gcloud compute tpus {line}"]


def remote_line(line: str) -> str:
    """Returns the shell line that a gcloud command line runs on the workers."""
    (command,) = (word for word in shlex.split(line) if word.startswith("--command="))
    return command.removeprefix("--command=")


def test_dry_run_of_run_prints_the_line_of_each_host() -> None:
    overrides = ("--config.data.path=a b/'{split}'", "--config.train.steps=7")
    result = launch("run", *AT, FOUR, QUICKSTART, *overrides, "--workdir=/mnt/a b", "--dry_run")
    assert result.returncode == 0, result.stderr
    start = remote_line(result.stdout.splitlines()[0])
    (training,) = (word for word in shlex.split(start) if word.startswith(".venv/bin/python"))
    assert shlex.split(training.split("; ")[0]) == [
        ".venv/bin/python", "-m", "experiments.train", "--config=configs/quickstart.py", *overrides,
        "--config.parallel.distributed=on", "--workdir=/mnt/a b", "--wait_for_lock=130",
    ]  # fmt: skip


def test_a_single_host_is_not_distributed() -> None:
    result = launch("run", *AT, "--accelerator=v6e-8", QUICKSTART, "--workdir=runs/a", "--dry_run")
    assert "parallel.distributed" not in result.stdout
    assert "--workdir=runs/a" in result.stdout


def test_dry_run_of_restart_prints_every_command() -> None:
    result = launch("run", *AT, FOUR, QUICKSTART, "--workdir=/mnt/a", "--restart", "--spot", "--dry_run")
    verbs = [line.split()[4] for line in result.stdout.splitlines() if line.startswith("gcloud")]
    assert verbs == ["ssh", "describe", "ssh", "delete", "create", "scp", "ssh", "ssh"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("crate", *AT), "crate: unknown; the first argument is one of create, setup, run"),
        (("create", "--name=pod"), "create needs --zone, --accelerator"),
        (("create", *AT, "--accelerator=v9-8"), "give --runtime_version"),
        (("create", *AT, FOUR, "--spto"), "Unknown command line flag 'spto'"),
        (("run", *AT, FOUR, QUICKSTART, "--workdir=runs/a"), "several hosts share it"),
        (("run", *AT, "--accelerator=v6e-8", QUICKSTART, "--workdir=a", "--restart"), "must outlive the slice"),
        (("run", *AT, FOUR, QUICKSTART, "--config.model.heads=3", "--workdir=/a"), "does not divide into 3 heads"),
        (("run", *AT, FOUR, QUICKSTART, "--config.train.steps", "7", "--workdir=/a"), "=VALUE"),
    ],
)
def test_a_user_error_is_one_line(words: tuple[str, ...], message: str) -> None:
    start = time.monotonic()
    assert_user_error(launch(*words), message)
    assert time.monotonic() - start < 10  # 0.4 s; importing jax takes that long on a busy machine


def test_a_config_outside_the_repository_is_an_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine.py").write_text((ROOT / "configs/base.py").read_text())
    result = launch("run", *AT, FOUR, f"--config={tmp_path}/mine.py", "--workdir=/a")
    assert_user_error(result, "only that folder is copied")


def test_the_launchers_do_not_import_jax() -> None:
    text = "import sys, launch.tpu, launch.slurm, launch.gke; print({'jax', 'flax', 'orbax'} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "set()"


def test_without_gcloud_the_error_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_user_error(launch("delete", *AT), "error: gcloud is not on PATH; install")


@pytest.mark.slow
def test_a_preempted_slice_is_recreated_and_the_run_finishes(cloud: Cloud, tmp_path: pathlib.Path) -> None:
    """Uses only the commands: four hosts, one run, and a slice that is preempted while it trains."""
    flags = (*AT, FOUR, "--spot")
    for words in (("create", *flags), ("setup", *flags, "--prepare=true")):
        result = launch(*words, "--poll=0.02")
        assert result.returncode == 0, result.stderr
    line = ("run", *flags, QUICKSTART, f"--workdir={tmp_path}/run", "--restart", "--poll=0.02", "--delete_at_end")
    command, pipe = [sys.executable, "-m", "launch.tpu", *line], subprocess.PIPE
    supervising = subprocess.Popen(command, cwd=ROOT, text=True, stdout=pipe, stderr=pipe)
    wait_until(lambda: len(steps(tmp_path / "run")) > 2)
    assert len(cloud.processes("pod")) >= 4
    cloud.preempt("pod")
    output, errors = supervising.communicate(timeout=120)
    assert supervising.returncode == 0, errors
    assert "pod is PREEMPTED: recreating it" in output
    assert "training is done" in output
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))
    calls = cloud.calls.read_text().splitlines()
    assert calls.count("tpu-vm create pod") == 2
    assert calls.count("tpu-vm delete pod") == 2
    assert not cloud.node("pod").exists()
