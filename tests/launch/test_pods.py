"""Runs of several processes, really trained, that are cut off, and that the launchers see to their end."""

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
# The quickstart, so small that four processes on a core or two end within minutes.
SMALL = {
    "model.d_model": 12, "model.d_ff": 17, "model.heads": 3, "model.encoder_layers": 1, "model.decoder_layers": 1,
    "data.train_pairs": 300, "data.vocab_size": 200, "data.tokens_per_batch": 300, "data.buckets": 1,
    "train.steps": STEPS, "train.warmup_steps": 5, "train.log_every": 1, "evaluate.every": 60,
    "evaluate.sentences": 4, "checkpoint.every": 10, "decode.max_extra_length": 3, "parallel.cpu_devices": 1,
}  # fmt: skip
CONFIG = ("--config=configs/quickstart.py", *(f"--config.{key}={value}" for key, value in SMALL.items()))


def logged(workdir: pathlib.Path) -> list[int]:
    """Updates of which the metrics tell, in the order in which they were made."""
    return [event["step"] for event in metrics.read(workdir) if event["split"] == "train"]


def until(what: Callable[[], bool], process: subprocess.Popen[str] | None = None, within: float = 400.0) -> None:
    end = time.monotonic() + within
    while not what():
        assert process is None or process.poll() is None, "ended too early"
        assert time.monotonic() < end, "that never came"
        time.sleep(0.05)


def check(workdir: pathlib.Path, devices: int) -> None:
    """All updates were made, in order; the run is scored, and was done by all devices together, with this commit."""
    assert logged(workdir) == list(range(1, STEPS + 1))
    assert [event["step"] for event in metrics.read(workdir) if event["split"] == "test"] == [STEPS]
    versions = json.loads((workdir / "versions.json").read_text())
    assert len(versions["devices"]) == devices
    assert versions["commit"].strip("+") == commit().strip("+")


def saved(workdir: pathlib.Path) -> int:
    """The newest checkpoint."""
    return max(manifest.steps(workdir / "checkpoints"))


@pytest.mark.parametrize("grace", [30.0, 0.0], ids=["told before", "killed"])
def test_a_preempted_pod_of_four_hosts_finishes_on_another(
    make_cloud: Callable[[str], Cloud], tmp_path: pathlib.Path, grace: float
) -> None:
    cloud, workdir = make_cloud(sys.executable), tmp_path / "run"
    same = ("--name=pod", "--zone=z", "--accelerator=v5litepod-16", "--spot", "--poll=0.5")
    for words in ("create", *same), ("setup", *same):
        subprocess.run([sys.executable, "-m", "launch.tpu", *words], cwd=ROOT, check=True)
    line = ("run", *same, *CONFIG, f"--workdir={workdir}", "--restart")
    with (tmp_path / "watch.log").open("w+") as log:
        watching = subprocess.Popen([sys.executable, "-m", "launch.tpu", *line], cwd=ROOT, text=True, stdout=log)
        until(lambda: workdir.exists() and max(logged(workdir), default=0) > 15, watching)
        cloud.preempt("pod", grace)
        before = max(logged(workdir))
        kept = saved(workdir)
        assert watching.wait(900) == 0, (tmp_path / "watch.log").read_text()
    assert before < STEPS
    if grace:
        assert kept >= before  # nothing was lost
    said = (cloud.node("pod") / "0/transformer-research.run/log").read_text()
    assert f"continuing after step {kept}" in said
    check(workdir, 4)


def test_a_job_of_two_nodes_that_is_cut_off_is_queued_again_and_finishes(
    cluster: Cluster, tmp_path: pathlib.Path
) -> None:
    workdir = tmp_path / "run"
    line = ("train", *CONFIG, f"--workdir={workdir}", "--nodes=2", "--cpus=1")
    subprocess.run([sys.executable, "-m", "launch.slurm", *line], cwd=ROOT, check=True)
    until(lambda: workdir.exists() and max(logged(workdir), default=0) > 15)
    (job,) = cluster.jobs()
    cluster.end_step(job)
    assert cluster.wait(900) == [0], (tmp_path / f"run.slurm/{job}.out").read_text()
    said = (tmp_path / f"run.slurm/{job}.out").read_text()
    assert "continuing after step" in said
    check(workdir, 2)


def test_two_jobs_of_an_array_share_a_sweep(cluster: Cluster, tmp_path: pathlib.Path) -> None:
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
