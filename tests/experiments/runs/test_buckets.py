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

from tests import bucket
from tests.experiments.runs import faulty
from tests.experiments.runs.test_faults import Fault, Small, Training, config_of
from transformer import storage
from transformer.training import manifest

pytestmark = pytest.mark.slow

STEPS = 500
CHANGES = {"train__steps": STEPS, "checkpoint__every": 10, "evaluate__every": 250}
FAILING, SLOW = 0.02, 0.05  # shares of requests
KILLS = {
    "in the middle of a write": 4,
    "at any instant": 8,
    "during the manifest": 4,
    "between write and commit": 4,
    "while an old step is deleted from a bucket": 4,
}


class BucketTraining(Training):
    """A training process and its folder in a bucket; its log is on disk."""

    def __init__(self, config: dict[str, Any], path: pathlib.Path, log: pathlib.Path, url: str) -> None:
        super().__init__(config, path, log=log)
        self._variables = bucket.environment(url)

    def start(self, prepare: Callable[..., None] | None = None, *args: Any) -> Any:
        return super().start(faulty.in_bucket, self._variables, prepare, *args)

    def steps(self) -> list[int]:
        return sorted(manifest.checkpoint_steps(self.workdir.checkpoints))

    def is_writing(self) -> bool:
        folders = [path for path in self.workdir.checkpoints.glob("*") if path.name.isdecimal()]
        return len(folders) > len(self.steps())


@pytest.fixture
def unreliable(gcs: bucket.Proxy) -> Iterator[bucket.Proxy]:
    gcs.failing, gcs.slow = FAILING, SLOW
    yield gcs
    gcs.failing = gcs.slow = 0.0


@pytest.fixture(scope="module")
def undisturbed(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Training:
    training = Training(config_of(small, **CHANGES), tmp_path_factory.mktemp("undisturbed") / "run")
    assert training.join(training.start(), 900) == 0, training.log_text()
    return training


def test_kill_9_in_a_bucket_loses_only_the_updates_since_the_last_save(
    undisturbed: Training, unreliable: bucket.Proxy, bucket_folder: pathlib.Path, tmp_path: pathlib.Path, fault: Fault
) -> None:
    chance = random.Random(3)
    training = BucketTraining(undisturbed.config, bucket_folder, tmp_path / "run.log", unreliable.url)
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
    assert training.join(training.start(), 1200) == 0, training.log_text()[-3000:]
    assert unreliable.failed > len(points)
    assert unreliable.waited > len(points)
    assert training.digests() == undisturbed.digests()
    assert training.events() == undisturbed.events()


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
    config = config_of(small, **CHANGES)
    training = BucketTraining(config, bucket_folder, tmp_path / "run.log", gcs.url)
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
        folder = training.workdir.checkpoints / str(newest) / "default"
        damage(max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size))
        process = training.start()
        training.wait_for(process, functools.partial(training.has_valid_step_after, newest))
        process.kill()
        training.join(process)
        text = training.log_text()[log_start:]
        assert text.count("DAMAGED CHECKPOINT") == 1
        assert f"renamed to {training.workdir.checkpoints}/{newest}.damaged" in text
        assert f"continuing after step {before}\n" in text
        survived()


def test_bad_buckets_are_one_line_and_write_nothing(
    small: Small, gcs: bucket.Proxy, bucket_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for path, status, message in (
        ("gs://buckett/run", 0, "gs://buckett: this bucket does not exist"),
        ("gs:/bucket/run", 0, "only gs://BUCKET/FOLDER is supported"),
        ("s3://bucket/run", 0, "only gs://BUCKET/FOLDER is supported"),
        (str(bucket_folder), 401, "denied by the test; log in with"),
        (str(bucket_folder), 403, "denied by the test; log in with"),
    ):
        log = tmp_path / f"{status}.log"
        log.unlink(missing_ok=True)
        gcs.denied = status
        try:
            training = Training(small(), pathlib.Path("unused"), log=log)
            training.path = path  # type: ignore[assignment]  # as the user typed it
            process = training.start(faulty.in_bucket, bucket.environment(gcs.url))
            assert training.join(process) == 2, training.log_text()
        finally:
            gcs.denied = 0
        (line,) = training.log_text().splitlines()
        assert line.startswith("error: ")
        assert message in line
    assert not bucket_folder.exists()
    assert not pathlib.Path("gs:").exists()
    assert not storage.path("gs://bucket/run").exists()
