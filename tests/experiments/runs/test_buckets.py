"""Injects faults into training in a bucket, of an emulator that now and then answers late, or with 503.

The result is the same as on disk, without faults.
"""

import functools
import pathlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from experiments.runs.workdir import Workdir
from tests import bucket, pod
from tests.experiments.runs import faulty
from tests.experiments.runs.test_faults import PATIENCE, Fault, Small, Training, check_account, config_of

pytestmark = pytest.mark.slow

# Few updates and short ones: what takes time is a save, of about a hundred requests.
STEPS = 40
CHANGES = {"train__steps": STEPS, "checkpoint__every": 2, "evaluate__every": 20}
FAILING, SLOW = 0.02, 0.05  # shares of requests
KILLS = {
    "in the middle of a write": 2,
    "at any instant": 4,
    "during the manifest": 2,
    "between write and commit": 2,
    "while an old step is deleted from a bucket": 2,
}


class BucketTraining(Training):
    """A training process and its folder in a bucket; its log is on disk.

    The tests look at the files in which the emulator keeps the objects, without requests.
    """

    def __init__(self, config: dict[str, Any], path: pathlib.Path, log: pathlib.Path, gcs: bucket.Proxy) -> None:
        super().__init__(config, path, log=log)
        self._variables = bucket.environment(gcs.url)
        self.workdir = Workdir(gcs.on_disk(path))

    def start(self, prepare: Callable[..., None] | None = None, *args: Any) -> Any:
        return super().start(faulty.in_bucket, self._variables, prepare, *args)

    def steps(self) -> list[int]:
        return [step for step in super().steps() if (self.checkpoint(step) / "commit_success.txt").exists()]

    def checkpoint(self, step: int) -> pathlib.Path:
        return self.workdir.checkpoints / str(step)

    def is_writing(self) -> bool:
        return super().steps() != self.steps()


@pytest.fixture
def unreliable(gcs: bucket.Proxy) -> Iterator[bucket.Proxy]:
    gcs.failing, gcs.slow = FAILING, SLOW
    yield gcs
    gcs.failing = gcs.slow = 0.0


@pytest.fixture(scope="module")
def undisturbed(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Training:
    training = Training(config_of(small, **CHANGES), tmp_path_factory.mktemp("undisturbed") / "run")
    assert training.join(training.start()) == 0, training.log_text()
    return training


@pytest.mark.parametrize("seed", [0, 1])
def test_kill_9_in_a_bucket_loses_only_the_updates_since_the_last_save(
    undisturbed: Training,
    unreliable: bucket.Proxy,
    bucket_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    fault: Fault,
    seed: int,
) -> None:
    chance = random.Random(seed)
    training = BucketTraining(undisturbed.config, bucket_folder, tmp_path / "run.log", unreliable)
    points = [point for point, count in KILLS.items() for _ in range(count)]
    chance.shuffle(points)
    newest = 0
    for point in points:
        survived, log_start = fault(f"kill -9 {point}, in a bucket"), len(training.log_text())
        if point in ("in the middle of a write", "at any instant"):
            process = training.start()
            if point == "in the middle of a write":
                training.wait_for(process, training.is_writing)
            elif chance.random() < 0.7:  # else while it starts
                training.wait_for(process, functools.partial(training.has_valid_step_after, newest))
            time.sleep(chance.uniform(0, 0.5))
            process.kill()
        else:
            process = training.start(faulty.at_named_point, point, chance.randrange(2))
        assert training.join(process) == -signal.SIGKILL, training.log_text()[log_start:]
        valid = training.valid_steps()
        assert max(valid, default=0) >= newest, "a verified step was lost"
        newest = max(valid, default=0)
        assert newest < STEPS
        survived()
    assert training.join(training.start()) == 0, training.log_text()[-3000:]
    assert unreliable.failed > len(points)
    assert unreliable.waited > len(points)
    assert training.digests() == undisturbed.digests()
    assert training.events() == undisturbed.events()
    check_account(training, len(points) + 1)


def flipped(content: bytes) -> bytes:
    """Returns the content with a bit flipped in its middle."""
    return bytes(byte ^ (4 if at == len(content) // 2 else 0) for at, byte in enumerate(content))


DAMAGE: dict[str, Callable[[pathlib.Path], Any]] = {
    "truncated object": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "flipped bit": lambda path: path.write_bytes(flipped(path.read_bytes())),
    "missing object": lambda path: path.unlink(),
}


def test_locks_and_damage_in_a_bucket(
    small: Small, gcs: bucket.Proxy, bucket_folder: pathlib.Path, tmp_path: pathlib.Path, fault: Fault
) -> None:
    config = config_of(small, **CHANGES | {"train__steps": 1000})  # it never ends
    training = BucketTraining(config, bucket_folder, tmp_path / "run.log", gcs)
    survived = fault("a second process on the folder, in a bucket: refused")
    first = training.start()
    training.wait_for(first, lambda: len(training.valid_steps()) > 1)
    second = training.start()
    assert training.join(second) == 2
    assert f"another process trains in this folder: {faulty.os.uname().nodename}, process {first.pid}" in (
        training.log_text()
    )
    assert first.is_alive()
    first.kill()
    training.join(first)
    survived()
    for kind, damage in DAMAGE.items():
        survived, log_start = fault(f"{kind}, in a bucket"), len(training.log_text())
        *_, before, newest = training.valid_steps()
        objects = [path for path in (bucket_folder / f"checkpoints/{newest}/default").rglob("*") if path.is_file()]
        damage(max(objects, key=lambda path: path.stat().st_size))
        process = training.start()
        training.wait_for(process, functools.partial(training.has_valid_step_after, newest))
        process.kill()
        training.join(process)
        text = training.log_text()[log_start:]
        assert text.count("DAMAGED CHECKPOINT") == 1
        assert f"renamed to {bucket_folder}/checkpoints/{newest}.damaged" in text
        assert f"continuing after step {before}\n" in text
        survived()


@pytest.mark.parametrize("name", ["train", "sweep", "translate", "report"])
def test_a_bad_bucket_is_one_line_and_nothing_is_written(
    small: Small, gcs: bucket.Proxy, bucket_folder: pathlib.Path, tmp_path: pathlib.Path, name: str
) -> None:
    config = pod.write_config(tmp_path / "config.py", small())
    sweep = tmp_path / "sweep.py"
    sweep.write_text("def get_sweep():\n    return {'base': {}}\n", encoding="utf-8")
    arguments = {"train": [f"--config={config}"], "sweep": [f"--config={config}", f"--sweep={sweep}"]}.get(name, [])
    emulator = (faulty.in_bucket, bucket.environment(gcs.url))
    for number, (path, denied, prepare, message) in enumerate(
        (
            ("gs://buckett/run", 0, emulator, "gs://buckett: this bucket does not exist"),
            ("gs:/bucket/run", 0, emulator, "only gs://BUCKET/FOLDER is supported"),
            ("s3://bucket/run", 0, emulator, "only gs://BUCKET/FOLDER is supported"),
            (str(bucket_folder), 401, emulator, "credentials cannot be refreshed; log in with"),
            (str(bucket_folder), 403, emulator, "denied by the test; log in with"),
            (str(bucket_folder), 0, (faulty.without_credentials, str(tmp_path)), "credentials were not found; log in"),
        )
    ):
        log, gcs.denied = tmp_path / f"{number}.log", denied
        try:
            process: Any = Training.context.Process(
                target=faulty.command, args=(name, [*arguments, f"--workdir={path}"], str(log), *prepare)
            )
            process.start()
            process.join(PATIENCE)
        finally:
            gcs.denied = 0
        (line,) = log.read_text(encoding="utf-8").splitlines()
        assert process.exitcode == 2
        assert line.startswith("error: ")
        assert message in line
    assert not gcs.on_disk(bucket_folder).exists()
    assert not pathlib.Path("gs:").exists()
