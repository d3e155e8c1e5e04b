"""The SLURM launcher: its scripts, a user's mistakes, and jobs of a stand-in that are cut off and queued again."""

import pathlib
import shlex
import subprocess
import sys
import time

import pytest

from tests.launch.cluster import Cluster
from tests.launch.conftest import TRAINER

ROOT = pathlib.Path(__file__).parents[2]
QUICKSTART = "--config=configs/quickstart.py"
LINEAGE = "--sweep=configs/sweeps/lineage.py"
STEPS = 60  # of tests/launch/trainer.py


def launch(*words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "launch.slurm", *words]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)


def asked(script: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH ")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def step(script: str) -> list[str]:
    (line,) = (line for line in script.splitlines() if line.startswith("srun "))
    return shlex.split(line)


def test_the_script_of_a_run_on_several_nodes(tmp_path: pathlib.Path) -> None:
    done = launch(
        "train", QUICKSTART, "--config.data.path=a b", f"--workdir={tmp_path}/run", "--nodes=3", "--gpus=2",
        "--cpus=5", "--memory=64G", "--time=1-00:00:00", "--partition=p", "--account=me", "--sbatch=--constraint=a100",
        "--prepare=module load cuda", "--dry_run",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert asked(done.stdout) == {
        "job-name": "run", "nodes": "3", "ntasks-per-node": "1", "cpus-per-task": "5", "time": "1-00:00:00",
        "output": f"{tmp_path}/run.slurm/%j.out", "open-mode": "append", "requeue": "", "signal": "TERM@60",
        "gpus-per-node": "2", "mem": "64G", "partition": "p", "account": "me", "constraint": "a100",
    }  # fmt: skip
    assert step(done.stdout) == [
        "srun", "--cpus-per-task=5", sys.executable, "-m", "experiments.train", "--config=configs/quickstart.py",
        "--config.data.path=a b", f"--workdir={tmp_path}/run",
    ]  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines.index("export JAX_LOCAL_DEVICE_IDS=0,1") < lines.index("module load cuda")
    assert lines[-1] == f"sbatch {tmp_path}/run.slurm/train.sbatch"
    assert not (tmp_path / "run.slurm").exists()


def test_the_script_of_a_sweep(tmp_path: pathlib.Path) -> None:
    done = launch(
        "sweep", QUICKSTART, LINEAGE, f"--workdir={tmp_path}/s", "--tasks=7", "--gpus=1", "--nodes=2",
        "--sweep_flags=--seeds=5 --only='a|b'", "--dry_run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    known = asked(done.stdout)
    assert (known["array"], known["nodes"], known["output"]) == ("0-6", "1", f"{tmp_path}/s.slurm/%A_%a.out")
    assert step(done.stdout)[4:] == [
        "experiments.sweep", "--config=configs/quickstart.py", f"--sweep={ROOT}/configs/sweeps/lineage.py",
        f"--workdir={tmp_path}/s", "--seeds=5", "--only=a|b",
    ]  # fmt: skip
    assert "JAX_LOCAL_DEVICE_IDS" not in done.stdout


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
def test_a_mistake_is_one_line(words: tuple[str, ...], message: str) -> None:
    done = launch(*words, "--dry_run")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_without_sbatch_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = launch("train", QUICKSTART, f"--workdir={tmp_path}/run")
    assert done.returncode == 2
    assert done.stderr.startswith("error: sbatch is not on PATH; run this on")


def begun(cluster: Cluster, *words: str) -> str:
    """Submits the script that is written for `words`, with a trainer in it that only counts; the job."""
    text = launch(*words, "--dry_run").stdout.rpartition("\nsbatch ")[0]
    folder = pathlib.Path(asked(text)["output"]).parent
    folder.mkdir()
    (folder / "train.sbatch").write_text(text.replace(sys.executable, TRAINER))
    subprocess.run(["sbatch", str(folder / "train.sbatch")], check=True)
    (job,) = cluster.jobs()
    return job


def wait_for_steps(workdir: pathlib.Path) -> None:
    wait_for(workdir / "steps", "\n", 3)


def wait_for(path: pathlib.Path, what: str, times: int) -> None:
    end = time.monotonic() + 60
    while not path.exists() or path.read_text().count(what) < times:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_job_that_is_cut_off_is_queued_again_and_finishes(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    job = begun(cluster, "train", QUICKSTART, f"--workdir={tmp_path}/run", "--nodes=3")
    wait_for_steps(tmp_path / "run")
    wait_for(tmp_path / f"run.slurm/{job}.out", "arguments:", 3)
    cluster.end_step(job)
    assert cluster.wait() == [0]
    steps = (tmp_path / "run/steps").read_text().split()
    assert [int(each) for each in steps] == list(range(1, STEPS + 1))
    assert (cluster.folder / "slept").read_text() == "130\n"
    assert (tmp_path / f"run.slurm/{job}.out").read_text().count("arguments:") == 2 * 3


def test_a_job_that_is_cancelled_is_not_queued_again(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    job = begun(cluster, "train", QUICKSTART, f"--workdir={tmp_path}/run")
    wait_for_steps(tmp_path / "run")
    cluster.cancel(job)
    assert cluster.wait() == [143]
    assert len((tmp_path / "run/steps").read_text().split()) < STEPS


def test_a_job_that_fails_is_not_queued_again(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/fail").touch()
    begun(cluster, "train", QUICKSTART, f"--workdir={tmp_path}/run")
    assert cluster.wait() == [1]
    assert not (cluster.folder / "slept").exists()


def test_a_sweep_is_submitted_as_an_array(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.py").write_text("def get_sweep():\n    raise ValueError('no variants here')\n")
    sweep = f"--sweep={tmp_path}/empty.py"
    done = launch("sweep", QUICKSTART, sweep, f"--workdir={tmp_path}/s", "--tasks=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Submitted batch job ")
    assert cluster.wait() == [2, 2]
    logs = sorted((tmp_path / "s.slurm").glob("*_[01].out"))
    assert ["no variants here" in log.read_text() for log in logs] == [True, True]
