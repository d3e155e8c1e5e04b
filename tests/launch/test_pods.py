"""Runs of several processes that are preempted, and that the launchers resume until they finish."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.runs.workdir import commit
from launch.command_line import ROOT
from tests.launch.cloud import Cloud
from tests.launch.cluster import Cluster
from tests.launch.conftest import QUICKSTART
from tests.launch.slices import wait_until
from tests.pod import Pod
from transformer.training import manifest, metrics

pytestmark = pytest.mark.slow

STEPS = 120
# The quickstart, so small that four processes on one or two cores finish within minutes.
SMALL = {
    "model.d_model": 12, "model.d_ff": 17, "model.heads": 3, "model.encoder_layers": 1, "model.decoder_layers": 1,
    "data.train_pairs": 300, "data.vocab_size": 200, "data.tokens_per_batch": 300, "data.buckets": 1,
    "train.steps": STEPS, "train.warmup_steps": 5, "train.log_every": 1, "evaluate.every": 60,
    "evaluate.sentences": 4, "checkpoint.every": 10, "decode.max_extra_length": 3, "parallel.cpu_devices": 1,
}  # fmt: skip
CONFIG = (QUICKSTART, *(f"--config.{key}={value}" for key, value in SMALL.items()))


def logged(workdir: Path) -> list[int]:
    """Returns the logged steps, in order."""
    return [event["step"] for event in metrics.read(workdir) if event["split"] == "train"]


def saved(workdir: Path) -> list[int]:
    """Returns the steps of the checkpoints whose save is complete."""
    folder = workdir / "checkpoints"
    return [step for step in manifest.checkpoint_steps(folder) if manifest.exists(folder / str(step))]


def losses(workdir: Path) -> list[float]:
    """Returns the losses of training and validation, in order."""
    return [event["loss"] for event in metrics.read(workdir) if "loss" in event]


def check(workdir: Path, devices: int) -> None:
    """Checks that the run made all updates in order, is scored, and used all devices and this commit."""
    assert logged(workdir) == list(range(1, STEPS + 1))
    assert [event["step"] for event in metrics.read(workdir) if event["split"] == "test"] == [STEPS]
    versions = json.loads((workdir / "versions.json").read_text())
    assert len(versions["devices"]) == devices
    assert str(versions["commit"]).strip("+") == str(commit()).strip("+")


@pytest.mark.parametrize("grace", [30.0, 0.0], ids=["signalled", "killed"])
@pytest.mark.parametrize("storage", ["disk", "bucket"])
def test_a_preempted_run_of_four_hosts_finishes_on_another_slice(
    make_cloud: Callable[[str], Cloud], tmp_path: Path, grace: float, storage: str, request: pytest.FixtureRequest
) -> None:
    cloud = make_cloud(sys.executable)
    workdir = tmp_path / "run" if storage == "disk" else request.getfixturevalue("bucket_folder")
    flags = ("--name=pod", "--zone=z", "--accelerator=v5litepod-16", "--spot", "--poll=0.5")
    for words in ("create", *flags), ("setup", *flags):
        subprocess.run([sys.executable, "-m", "launch.tpu", *words], cwd=ROOT, check=True)
    line = ("run", *flags, *CONFIG, f"--workdir={workdir}", "--restart")
    with (tmp_path / "supervisor.log").open("w+") as log:
        supervisor = subprocess.Popen([sys.executable, "-m", "launch.tpu", *line], cwd=ROOT, text=True, stdout=log)
        wait_until(lambda: workdir.exists() and max(logged(workdir), default=0) > 15, 900.0, supervisor)
        wait_until(lambda: any(saved(workdir)), 900.0, supervisor)  # a save in a bucket takes several updates
        cloud.preempt("pod", grace)
        before = max(logged(workdir))
        checkpoint = max(saved(workdir))
        assert supervisor.wait(900) == 0, (tmp_path / "supervisor.log").read_text()
    assert before < STEPS
    if grace:
        assert checkpoint >= before  # nothing was lost
    log_text = (cloud.node("pod") / "0/transformer-research.run/log").read_text()
    assert f"continuing after step {checkpoint}" in log_text
    check(workdir, 4)
    if storage == "bucket":
        undisturbed = tmp_path / "undisturbed"
        flags = (*CONFIG, "--config.parallel.cpu_devices=4", f"--workdir={undisturbed}")
        assert Pod(1, ["experiments.train", *flags], undisturbed, devices=4).wait_for_exit() == [0]
        assert losses(workdir) == pytest.approx(losses(undisturbed), rel=1e-5)  # sums in another order


def test_a_job_of_two_nodes_at_its_time_limit_is_requeued(cluster: Cluster, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    line = ("train", *CONFIG, f"--workdir={workdir}", "--nodes=2", "--cpus=1")
    subprocess.run([sys.executable, "-m", "launch.slurm", *line], cwd=ROOT, check=True)
    wait_until(lambda: workdir.exists() and max(logged(workdir), default=0) > 15, 400.0)
    (job,) = cluster.jobs()
    cluster.end_step(job)
    assert cluster.wait(900) == [0], (tmp_path / f"run.slurm/{job}.out").read_text()
    assert "continuing after step" in (tmp_path / f"run.slurm/{job}.out").read_text()
    check(workdir, 2)


def test_two_tasks_of_a_job_array_share_a_sweep(cluster: Cluster, tmp_path: Path) -> None:
    variants = {name: {"train.label_smoothing": value} for name, value in (("a", 0.0), ("b", 0.1))}
    (tmp_path / "two.py").write_text(f"def get_sweep():\n    return {variants}\n")
    line = [
        "sweep", *CONFIG, "--config.train.steps=4", f"--sweep={tmp_path}/two.py", f"--workdir={tmp_path}/sweep",
        "--tasks=2", "--cpus=1", "--sweep_flags=--seeds=1 --population=off",
    ]  # fmt: skip
    subprocess.run([sys.executable, "-m", "launch.slurm", *line], cwd=ROOT, check=True)
    assert cluster.wait(900) == [0, 0]
    logs = [path.read_text() for path in (tmp_path / "sweep.slurm").glob("*.out")]
    assert sorted(name for log in logs for name in variants if f"{name}-0: done" in log) == ["a", "b"]  # once each
    assert len(list((tmp_path / "sweep").rglob("result.json"))) == 2
