"""Runs of several processes that are preempted, and that the launchers resume until they finish."""

import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from experiments.runs.workdir import commit
from tests.launch.cloud import Cloud
from tests.launch.cluster import Cluster
from transformer.training import manifest, metrics

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 120
# The quickstart, so small that four processes on one or two cores finish within minutes.
SMALL = {
    "model.d_model": 12, "model.d_ff": 17, "model.heads": 3, "model.encoder_layers": 1, "model.decoder_layers": 1,
    "data.train_pairs": 300, "data.vocab_size": 200, "data.tokens_per_batch": 300, "data.buckets": 1,
    "train.steps": STEPS, "train.warmup_steps": 5, "train.log_every": 1, "evaluate.every": 60,
    "evaluate.sentences": 4, "checkpoint.every": 10, "decode.max_extra_length": 3, "parallel.cpu_devices": 1,
}  # fmt: skip
CONFIG = ("--config=configs/quickstart.py", *(f"--config.{key}={value}" for key, value in SMALL.items()))


def logged(workdir: pathlib.Path) -> list[int]:
    """Returns the logged steps, in order."""
    return [event["step"] for event in metrics.read(workdir) if event["split"] == "train"]


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[str] | None = None, within: float = 400.0
) -> None:
    end = time.monotonic() + within
    while not condition():
        assert process is None or process.poll() is None, "the process exited too early"
        assert time.monotonic() < end, f"not reached within {within} seconds"
        time.sleep(0.05)


def check(workdir: pathlib.Path, devices: int) -> None:
    """Checks that the run made all updates in order, is scored, and used all devices and this commit."""
    assert logged(workdir) == list(range(1, STEPS + 1))
    assert [event["step"] for event in metrics.read(workdir) if event["split"] == "test"] == [STEPS]
    versions = json.loads((workdir / "versions.json").read_text())
    assert len(versions["devices"]) == devices
    assert versions["commit"].strip("+") == commit().strip("+")


def newest_checkpoint(workdir: pathlib.Path) -> int:
    """Returns the step of the newest checkpoint."""
    return max(manifest.checkpoint_steps(workdir / "checkpoints"))


@pytest.mark.parametrize("grace", [30.0, 0.0], ids=["signalled", "killed"])
def test_a_preempted_run_of_four_hosts_finishes_on_another_slice(
    make_cloud: Callable[[str], Cloud], tmp_path: pathlib.Path, grace: float
) -> None:
    cloud, workdir = make_cloud(sys.executable), tmp_path / "run"
    flags = ("--name=pod", "--zone=z", "--accelerator=v5litepod-16", "--spot", "--poll=0.5")
    for words in ("create", *flags), ("setup", *flags):
        subprocess.run([sys.executable, "-m", "launch.tpu", *words], cwd=ROOT, check=True)
    line = ("run", *flags, *CONFIG, f"--workdir={workdir}", "--restart")
    with (tmp_path / "supervisor.log").open("w+") as log:
        supervisor = subprocess.Popen([sys.executable, "-m", "launch.tpu", *line], cwd=ROOT, text=True, stdout=log)
        wait_until(lambda: workdir.exists() and max(logged(workdir), default=0) > 15, supervisor)
        cloud.preempt("pod", grace)
        before = max(logged(workdir))
        checkpoint = newest_checkpoint(workdir)
        assert supervisor.wait(900) == 0, (tmp_path / "supervisor.log").read_text()
    assert before < STEPS
    if grace:
        assert checkpoint >= before  # nothing was lost
    log_text = (cloud.node("pod") / "0/transformer-research.run/log").read_text()
    assert f"continuing after step {checkpoint}" in log_text
    check(workdir, 4)


def test_a_job_of_two_nodes_at_its_time_limit_is_requeued_and_finishes(
    cluster: Cluster, tmp_path: pathlib.Path
) -> None:
    workdir = tmp_path / "run"
    line = ("train", *CONFIG, f"--workdir={workdir}", "--nodes=2", "--cpus=1")
    subprocess.run([sys.executable, "-m", "launch.slurm", *line], cwd=ROOT, check=True)
    wait_until(lambda: workdir.exists() and max(logged(workdir), default=0) > 15)
    (job,) = cluster.jobs()
    cluster.end_step(job)
    assert cluster.wait(900) == [0], (tmp_path / f"run.slurm/{job}.out").read_text()
    log_text = (tmp_path / f"run.slurm/{job}.out").read_text()
    assert "continuing after step" in log_text
    check(workdir, 2)


def test_two_tasks_of_a_job_array_share_a_sweep(cluster: Cluster, tmp_path: pathlib.Path) -> None:
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
