"""launch.slurm: its scripts, user errors, and jobs of a stand-in cluster that are stopped and requeued."""

import functools
import pathlib
import shlex
import subprocess
import sys

import pytest

from launch.command_line import ROOT
from tests.launch.cluster import Cluster
from tests.launch.conftest import QUICKSTART, TRAINER, assert_user_error, run_module
from tests.launch.slices import STEPS, steps, wait_until

launch = functools.partial(run_module, "launch.slurm")


def directives(script: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH ")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def srun_command(script: str) -> list[str]:
    (line,) = (line for line in script.splitlines() if line.startswith("srun "))
    return shlex.split(line)


def test_the_script_of_a_run_on_several_nodes(tmp_path: pathlib.Path) -> None:
    result = launch(
        "train", QUICKSTART, "--config.data.path=a b", f"--workdir={tmp_path}/run", "--nodes=3", "--gpus=2",
        "--cpus=5", "--memory=64G", "--time=1-00:00:00", "--partition=p", "--account=me", "--sbatch=--constraint=a100",
        "--prepare=module load cuda", "--dry_run",
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    assert directives(result.stdout) == {
        "job-name": "run", "nodes": "3", "ntasks-per-node": "1", "cpus-per-task": "5", "time": "1-00:00:00",
        "output": f"{tmp_path}/run.slurm/%j.out", "open-mode": "append", "requeue": "", "signal": "TERM@60",
        "gpus-per-node": "2", "mem": "64G", "partition": "p", "account": "me", "constraint": "a100",
    }  # fmt: skip
    assert srun_command(result.stdout) == [
        "srun", "--cpus-per-task=5", sys.executable, "-m", "experiments.train", "--config=configs/quickstart.py",
        "--config.data.path=a b", f"--workdir={tmp_path}/run", "--wait_for_lock=130",
    ]  # fmt: skip
    lines = result.stdout.splitlines()
    assert lines.index("export JAX_LOCAL_DEVICE_IDS=0,1") < lines.index("module load cuda")
    assert lines[-1] == f"sbatch {tmp_path}/run.slurm/train.sbatch"
    assert not (tmp_path / "run.slurm").exists()


def test_the_script_of_a_sweep(tmp_path: pathlib.Path) -> None:
    result = launch(
        "sweep", QUICKSTART, "--sweep=configs/sweeps/lineage.py", f"--workdir={tmp_path}/s", "--tasks=7", "--gpus=1",
        "--nodes=2", "--sweep_flags=--seeds=5 --only='a|b'", "--dry_run",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    options = directives(result.stdout)
    assert (options["array"], options["nodes"], options["output"]) == ("0-6", "1", f"{tmp_path}/s.slurm/%A_%a.out")
    assert srun_command(result.stdout)[4:] == [
        "experiments.sweep", "--config=configs/quickstart.py", f"--sweep={ROOT}/configs/sweeps/lineage.py",
        f"--workdir={tmp_path}/s", "--seeds=5", "--only=a|b",
    ]  # fmt: skip
    assert "JAX_LOCAL_DEVICE_IDS" not in result.stdout
    assert "sleep 130" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("strain",), "the first argument is one of train, sweep"),
        (("train", QUICKSTART), "train needs --workdir"),
        (("sweep", QUICKSTART, "--workdir=a", "--sweep=nope.py"), "nope.py does not exist"),
        (("train", QUICKSTART, "--workdir=a", "--time=1 day"), "without blanks and quotes"),
        (("train", QUICKSTART, "--workdir=a", "--sbatch=-p x"), "not of the form --NAME=VALUE"),
    ],
)
def test_a_user_error_is_one_line(words: tuple[str, ...], message: str) -> None:
    assert_user_error(launch(*words, "--dry_run"), message)


def test_without_sbatch_the_error_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = launch("train", QUICKSTART, f"--workdir={tmp_path}/run")
    assert_user_error(result, "error: sbatch is not on PATH; run this on")


def submit(cluster: Cluster, *words: str) -> str:
    """Submits the script for `words`, with tests/launch/trainer.py instead of Python; returns the job."""
    text = launch(*words, "--dry_run").stdout.rpartition("\nsbatch ")[0]
    folder = pathlib.Path(directives(text)["output"]).parent
    folder.mkdir()
    (folder / "train.sbatch").write_text(text.replace(sys.executable, TRAINER))
    subprocess.run(["sbatch", str(folder / "train.sbatch")], check=True)
    (job,) = cluster.jobs()
    return job


def test_a_job_at_its_time_limit_is_requeued_and_finishes(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    job = submit(cluster, "train", QUICKSTART, f"--workdir={tmp_path}/run", "--nodes=3")
    log = tmp_path / f"run.slurm/{job}.out"
    wait_until(lambda: len(steps(tmp_path / "run")) > 2 and log.read_text().count("arguments:") == 3)
    cluster.end_step(job)
    assert cluster.wait() == [0]
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))
    assert log.read_text().count("arguments:") == 2 * 3


def test_a_cancelled_job_is_not_requeued(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    job = submit(cluster, "train", QUICKSTART, f"--workdir={tmp_path}/run")
    wait_until(lambda: len(steps(tmp_path / "run")) > 2)
    cluster.cancel(job)
    assert cluster.wait() == [143]
    assert len(steps(tmp_path / "run")) < STEPS


def test_a_failed_job_is_not_requeued(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/fail").touch()
    submit(cluster, "train", QUICKSTART, f"--workdir={tmp_path}/run")
    assert cluster.wait() == [1]


def test_a_sweep_is_submitted_as_an_array(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.py").write_text("def get_sweep():\n    raise ValueError('no variants')\n")
    sweep = f"--sweep={tmp_path}/empty.py"
    result = launch("sweep", QUICKSTART, sweep, f"--workdir={tmp_path}/s", "--tasks=2")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Submitted batch job ")
    assert cluster.wait() == [2, 2]
    logs = sorted((tmp_path / "s.slurm").glob("*_[01].out"))
    assert ["no variants" in log.read_text() for log in logs] == [True, True]
