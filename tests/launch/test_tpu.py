"""The Cloud TPU launcher: its lines, a user's mistakes, and slices of a stand-in cloud that come and go."""

import functools
import pathlib
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable

import pytest

from launch import command_line, supervisor
from launch.shell import LineError, Shell
from launch.tpu_vm import STATE, Accelerator, MissingError, Slice, pack
from tests.launch.cloud import Cloud

ROOT = pathlib.Path(__file__).parents[2]
AT = ("--name=pod", "--zone=z")
FOUR = "--accelerator=v5litepod-16"
QUICKSTART = "--config=configs/quickstart.py"
STEPS = 60  # of tests/launch/trainer.py


def launch(*words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "launch.tpu", *words]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("create", *AT, "--accelerator=v5e-16", "--spot"),
            "gcloud compute tpus tpu-vm create pod --zone=z --accelerator-type=v5litepod-16"
            " --version=v2-alpha-tpuv5-lite --spot",
        ),
        (
            ("create", *AT, "--accelerator=v4-32", "--queued", "--project=p"),
            "gcloud compute tpus queued-resources create pod --zone=z --project=p --node-id=pod"
            " --accelerator-type=v4-32 --runtime-version=tpu-ubuntu2204-base",
        ),
        (
            ("logs", *AT, "--worker=3", "--lines=7", "--follow"),
            "gcloud compute tpus tpu-vm ssh pod --zone=z --worker=3 --quiet"
            " '--command=tail -n 7 -f ~/transformer-research.run/log'",
        ),
        (
            ("fetch", *AT, "--workdir=/mnt/runs/a b", "--to=here"),
            "gcloud compute tpus tpu-vm scp --recurse 'pod:/mnt/runs/a b' here --zone=z --worker=0 --quiet",
        ),
        (("delete", *AT), "gcloud compute tpus tpu-vm delete pod --zone=z --quiet"),
        (
            ("delete", *AT, "--queued"),
            "gcloud compute tpus queued-resources delete pod --zone=z --quiet --force",
        ),
    ],
    ids=["create", "queue", "logs", "fetch", "delete", "delete from the queue"],
)
def test_dry_run_prints_the_line(words: tuple[str, ...], line: str) -> None:
    done = launch(*words, "--dry_run")
    assert (done.returncode, done.stderr) == (0, "")
    assert [text for text in done.stdout.splitlines() if not text.startswith("# ")] == [line]


def remote(line: str) -> str:
    """What a gcloud line has the workers' shells do."""
    (command,) = (word for word in shlex.split(line) if word.startswith("--command="))
    return command.removeprefix("--command=")


def test_dry_run_of_a_run_shows_what_each_host_would_do() -> None:
    overrides = ("--config.data.path=a b/'{split}'", "--config.train.steps=7")
    done = launch("run", *AT, FOUR, QUICKSTART, *overrides, "--workdir=/mnt/a b", "--dry_run")
    assert done.returncode == 0, done.stderr
    started = remote(done.stdout.splitlines()[0])
    (inner,) = (word for word in shlex.split(started) if word.startswith("if ls"))
    assert shlex.split(inner.split("; ")[-2]) == [
        ".venv/bin/python", "-m", "experiments.train", "--config=configs/quickstart.py", *overrides,
        "--config.parallel.distributed=on", "--workdir=/mnt/a b",
    ]  # fmt: skip


def test_one_host_joins_nobody() -> None:
    done = launch("run", *AT, "--accelerator=v6e-8", QUICKSTART, "--workdir=runs/a", "--dry_run")
    assert "parallel.distributed" not in done.stdout
    assert "--workdir=runs/a" in done.stdout


def test_who_comes_after_a_killed_process_waits(tmp_path: pathlib.Path) -> None:
    line = command_line.after_others(f"{tmp_path}/a b").replace("sleep", "echo sleep")
    told = functools.partial(subprocess.check_output, ["sh", "-c", line], text=True)
    assert told() == ""
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b/config.json").touch()
    assert told() == ""
    (tmp_path / "a b/lock.3").touch()
    assert told() == "sleep 130\n"


def test_dry_run_of_a_restart_shows_all_of_it() -> None:
    done = launch("run", *AT, FOUR, QUICKSTART, "--workdir=/mnt/a", "--restart", "--spot", "--dry_run")
    verbs = [line.split()[4] for line in done.stdout.splitlines() if line.startswith("gcloud")]
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
def test_a_mistake_is_one_line(words: tuple[str, ...], message: str) -> None:
    begun = time.monotonic()
    done = launch(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert time.monotonic() - begun < 10  # it takes 0.4 s; with jax, on a busy machine, it would take this


@pytest.mark.parametrize("text", ["v5litepod", "v4-", "v4-0", "v4-8-1", "V4-8", ""])
def test_what_no_accelerator_is_called(text: str) -> None:
    with pytest.raises(ValueError, match="not of the form KIND-SIZE"):
        Accelerator.parse(text)


def test_a_bucket_is_no_folder() -> None:
    with pytest.raises(ValueError, match="mount the bucket"):
        command_line.check_workdir("gs://bucket/run")
    command_line.check_workdir("/mnt/bucket/run")


def test_a_config_from_elsewhere_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine.py").write_text((ROOT / "configs/base.py").read_text())
    done = launch("run", *AT, FOUR, f"--config={tmp_path}/mine.py", "--workdir=/a")
    assert done.returncode == 2
    assert "is all that is copied" in done.stderr


def test_jax_is_not_imported() -> None:
    text = "import sys, launch.tpu, launch.slurm, launch.gke; print({'jax', 'flax', 'orbax'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_without_gcloud_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = launch("delete", *AT)
    assert done.returncode == 2
    assert done.stderr.startswith("error: gcloud is not on PATH; install")


@pytest.mark.parametrize(
    ("text", "chips", "several"),
    [("v5litepod-16", 16, True), ("v5e-8", 8, False), ("v6e-1", 1, False), ("v4-8", 4, False), ("v5p-16", 8, True)],
)
def test_what_a_slice_has(text: str, chips: int, several: bool) -> None:
    accelerator = Accelerator.parse(text)
    assert (accelerator.chips, accelerator.several_hosts) == (chips, several)


@pytest.mark.parametrize(
    ("statuses", "what"),
    [
        (["0", "0"], "done"),
        (["0", "running"], "wait"),
        (["1", "running"], "wait"),
        ([], "wait"),
        (["143", "0"], "again"),
        (["none", "134"], "again"),
        (["lost", "1"], "again"),
        (["0", "1"], "failed"),
        (["2", "2"], "failed"),
    ],
)
def test_verdicts(statuses: list[str], what: str) -> None:
    assert supervisor.verdict(statuses) == what


def test_the_archive_holds_the_repository_and_says_its_commit(tmp_path: pathlib.Path) -> None:
    pack(tmp_path / "code.tar.gz")
    with tarfile.open(tmp_path / "code.tar.gz") as archive:
        names = archive.getnames()
        noted = archive.extractfile(".commit")
        assert noted
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, cwd=ROOT)
        assert noted.read().decode().strip("+\n") == head.stdout.strip()
    assert {"pyproject.toml", "launch/tpu_vm.py", "configs/quickstart.py"} <= set(names)
    assert not [name for name in names if name.startswith((".git/", ".venv", "runs/"))]


# On the stand-in cloud.


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("packed") / "code.tar.gz"
    pack(path)
    return path


@pytest.fixture
def quickly(packed: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs once for all tests."""
    monkeypatch.setattr("launch.tpu_vm.pack", functools.partial(shutil.copy, packed))


def pod(queued: bool = False, accelerator: str = "v5litepod-16") -> Slice:
    return Slice(Shell(), "pod", ["--zone=z"], Accelerator.parse(accelerator), "image", spot=True, queued=queued)


def begin(workdir: pathlib.Path, queued: bool = False, **also: str) -> tuple[Slice, Callable[[], None]]:
    made = pod(queued, **also)
    made.create()
    supervisor.wait(made, 0.0)
    made.setup("echo prepared >prepared")
    return made, lambda: made.start(f".venv/bin/python -m experiments.train --workdir={workdir}")


def steps(workdir: pathlib.Path) -> list[int]:
    path = workdir / "steps"
    return [int(step) for step in path.read_text().split()] if path.exists() else []


def until(what: Callable[[], bool], within: float = 60.0) -> None:
    end = time.monotonic() + within
    while not what():
        assert time.monotonic() < end, "that never came"
        time.sleep(0.02)


@pytest.mark.usefixtures("quickly")
def test_a_run_outlives_its_connection_and_can_be_looked_at(
    cloud: Cloud, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made, start = begin(tmp_path / "run", accelerator="v5litepod-8")
    home = cloud.node("pod") / "0"
    assert (home / "prepared").exists()
    assert (home / "transformer-research/experiments/train.py").exists()
    assert made.statuses() == ["none"]
    start()
    assert made.statuses() == ["running"]
    with pytest.raises(LineError):
        start()
    assert "a run is going on here already" in capfd.readouterr().err
    until(lambda: made.statuses() == ["0"])
    made.logs("0", 5, follow=False)
    assert f"--workdir={tmp_path}/run" in capfd.readouterr().out
    made.fetch(str(tmp_path / "run"), str(tmp_path / "here"))
    assert steps(tmp_path / "here/run") == list(range(1, STEPS + 1))
    made.delete()
    assert not made.exists()


@pytest.mark.usefixtures("quickly")
def test_a_process_that_is_killed_with_its_shell_is_lost(cloud: Cloud, tmp_path: pathlib.Path) -> None:
    made, start = begin(tmp_path / "run", accelerator="v5litepod-8")
    start()
    until(lambda: len(steps(tmp_path / "run")) > 2)
    cloud._signal("pod", 9)
    until(lambda: made.statuses() == ["lost"])
    supervisor.watch(made, start, "echo mounted anew >prepared", poll=0.02)
    assert (cloud.node("pod") / "0/prepared").read_text() == "mounted anew\n"
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))


def test_a_run_that_ends_while_it_is_asked_about_has_ended(cloud: Cloud, tmp_path: pathlib.Path) -> None:
    """The status is written after the first look at it, and before the lock is tried."""
    made, _ = begin(tmp_path / "run", accelerator="v5litepod-8")
    state = cloud.node("pod") / "0" / STATE
    state.mkdir()
    (state / "lock").touch()
    assert made.statuses() == ["lost"]
    flock = cloud.folder / "worker-bin/flock"
    flock.write_text(f'#!/bin/sh\necho 0 >{shlex.quote(str(state))}/status\nexec {shutil.which("flock")} "$@"\n')
    flock.chmod(0o755)
    assert made.statuses() == ["0"]


def test_a_pod_is_preempted_made_anew_and_finishes(cloud: Cloud, tmp_path: pathlib.Path) -> None:
    """All of it by commands: four hosts, one run; a slice that is taken away in the middle."""
    same = (*AT, FOUR, "--spot")
    for words in (("create", *same), ("setup", *same, "--prepare=true")):
        done = launch(*words, "--poll=0.02")
        assert done.returncode == 0, done.stderr
    line = ("run", *same, QUICKSTART, f"--workdir={tmp_path}/run", "--restart", "--poll=0.02", "--delete_at_end")
    watching = subprocess.Popen(
        [sys.executable, "-m", "launch.tpu", *line], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until(lambda: len(steps(tmp_path / "run")) > 2)
    before = len(cloud.processes("pod"))
    cloud.preempt("pod")
    assert before >= 4
    said, errors = watching.communicate(timeout=120)
    assert watching.returncode == 0, errors
    assert "pod is PREEMPTED: a new one is made" in said
    assert "training is done" in said
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))
    calls = cloud.calls.read_text().splitlines()
    assert calls.count("tpu-vm create pod") == 2
    assert calls.count("tpu-vm delete pod") == 2
    assert not cloud.node("pod").exists()


@pytest.mark.usefixtures("quickly")
def test_a_queued_slice_is_queued_for_anew(
    cloud: Cloud, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, start = begin(tmp_path / "run", queued=True, accelerator="v5litepod-8")
    assert "pod: WAITING_FOR_RESOURCES" in capsys.readouterr().out
    start()
    until(lambda: len(steps(tmp_path / "run")) > 2)
    cloud.preempt("pod")
    assert made.state() == "SUSPENDED"
    supervisor.watch(made, start, "", poll=0.02)
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))
    assert cloud.calls.read_text().splitlines().count("queued-resources create pod") == 2


@pytest.mark.usefixtures("quickly")
def test_without_capacity_it_waits_for_some(
    cloud: Cloud, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, start = begin(tmp_path / "run", accelerator="v5litepod-8")
    cloud.preempt("pod")
    (cloud.folder / "no-capacity").touch()
    watching = threading.Thread(target=supervisor.watch, args=(made, start, "", 0.02))
    watching.start()
    until(lambda: cloud.calls.read_text().count("create") > 2)
    (cloud.folder / "no-capacity").unlink()
    watching.join(60)
    assert not watching.is_alive()
    assert "once more in" in capsys.readouterr().out
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))


@pytest.mark.usefixtures("quickly")
def test_what_failed_is_not_tried_again(
    cloud: Cloud, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/fail").touch()
    made, start = begin(tmp_path / "run", accelerator="v5litepod-8")
    with pytest.raises(LineError, match="ended with status 1 on its hosts"):
        supervisor.watch(made, start, "", poll=0.02)
    assert made.state() == "READY"
    assert "arguments: -m experiments.train" in capfd.readouterr().out  # the end of the log
    # The same slice can be used for what comes next.
    (tmp_path / "run/fail").unlink()
    supervisor.watch(made, start, "", poll=0.02, delete_at_end=True)
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))
    assert not made.exists()


@pytest.mark.usefixtures("quickly", "cloud")
def test_a_run_that_is_going_on_is_looked_after(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, start = begin(tmp_path / "run", accelerator="v5litepod-8")
    start()
    supervisor.watch(made, lambda: pytest.fail("started twice"), "", poll=0.02)
    assert "going on already" in capsys.readouterr().out
    assert steps(tmp_path / "run") == list(range(1, STEPS + 1))


@pytest.mark.usefixtures("quickly")
def test_what_somebody_deleted_is_not_made_anew(cloud: Cloud, tmp_path: pathlib.Path) -> None:
    made, start = begin(tmp_path / "run", accelerator="v5litepod-8")
    start()
    somebody = threading.Timer(0.3, cloud.delete, ["pod"])
    somebody.start()
    with pytest.raises(MissingError):
        supervisor.watch(made, start, "", poll=0.02)
    somebody.join()
    assert cloud.calls.read_text().splitlines().count("tpu-vm create pod") == 1
