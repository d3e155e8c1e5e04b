import contextlib
import functools
import pathlib
import pickle
import time
import uuid
from typing import IO, Any, cast

import numpy as np
import pytest

from experiments.runs.trackers import TensorBoard
from experiments.runs.workdir import Workdir
from experiments.runtime import leases
from tests import bucket
from transformer import atomic_file, storage
from transformer.spec import Spec
from transformer.training import manifest, metrics
from transformer.training.checkpoint import Checkpoints
from transformer.training.state import TrainState


def test_a_path_in_a_bucket_is_like_one_on_disk(bucket_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for base in (bucket_folder, tmp_path / "disk"):
        assert not base.exists()
        (base / "sub").mkdir(parents=True)
        (base / "sub" / "a.txt").write_text("é\n", encoding="utf-8")
        with (base / "b.csv").open("w", encoding="utf-8", newline="") as file:
            file.write("1,2\r\n")
        with (base / "log").open("a", encoding="utf-8") as file:
            file.write("one\n")
        with (base / "log").open("a", encoding="utf-8") as file:
            file.write("two\n")
        with pytest.raises(FileExistsError):
            storage.create(base / "log", "three")
        storage.create(base / "new", "three")
        assert (base / "new").read_text(encoding="utf-8") == "three"
        (base / "new").unlink()
        assert (base / "log").read_text(encoding="utf-8") == "one\ntwo\n"
        assert (base / "b.csv").read_bytes() == b"1,2\r\n"
        assert (base / "sub/a.txt").stat().st_size == 3
        assert abs((base / "sub/a.txt").stat().st_mtime - time.time()) < 60
        assert sorted(path.name for path in base.iterdir()) == ["b.csv", "log", "sub"]
        assert sorted(path.name for path in base.rglob("*") if path.is_file()) == ["a.txt", "b.csv", "log"]
        assert ((base / "sub").is_dir(), (base / "sub").is_file(), (base / "log").is_file()) == (True, False, True)
        assert base.absolute() == base == pickle.loads(pickle.dumps(base))
        (base / "log").unlink()
        with pytest.raises(FileNotFoundError):
            (base / "log").read_text(encoding="utf-8")
        with pytest.raises(FileNotFoundError):
            list((base / "none").iterdir())
        (base / "sub").rename(base / "moved")
        assert (base / "moved" / "a.txt").read_text(encoding="utf-8") == "é\n"
        assert not (base / "sub").exists()


def fill(file: IO[bytes]) -> None:
    file.write(b"half")
    raise OSError("disk full")


def test_an_interrupted_write_leaves_the_previous_content(bucket_folder: pathlib.Path) -> None:
    path = bucket_folder / "file"
    atomic_file.write(path, "before")
    with pytest.raises(OSError, match="disk"), atomic_file.writer(path) as file:
        fill(file)
    assert [(other.name, other.read_text(encoding="utf-8")) for other in bucket_folder.iterdir()] == [
        ("file", "before")
    ]


def test_a_lease_in_a_bucket_has_one_holder(gcs: bucket.Proxy, bucket_folder: pathlib.Path) -> None:
    first = leases.acquire(bucket_folder, "a", 3)
    assert first is not None
    with first:
        assert leases.acquire(bucket_folder, "a", 3) is None
        time.sleep(4)  # renewed in the meantime
        assert leases.acquire(bucket_folder, "a", 3) is None
    assert not bucket_folder.exists()
    assert leases.acquire(bucket_folder, "a", 3) is not None


def test_a_lease_whose_answer_was_lost_is_held(
    gcs: bucket.Proxy, bucket_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gcsfs repeats the request, and the object exists already."""
    token = uuid.uuid4

    def lose_next_answer() -> uuid.UUID:
        gcs.lost = 1
        return token()

    monkeypatch.setattr(uuid, "uuid4", lose_next_answer)
    lease = leases.acquire(bucket_folder, "a", 60)
    assert gcs.lost == 0
    assert lease is not None
    assert lease.held()


def test_a_manifest_finds_damage(bucket_folder: pathlib.Path) -> None:
    for name in ("default/a", "default/d/b", "outside"):
        (bucket_folder / "7" / name).write_bytes(name.encode())
    manifest.write(bucket_folder / "7")
    assert manifest.checkpoint_steps(bucket_folder) == []  # not complete
    (bucket_folder / "7" / "commit_success.txt").write_bytes(b"")
    assert manifest.checkpoint_steps(bucket_folder) == [7]
    assert manifest.first_fault(bucket_folder / "7") is None
    (bucket_folder / "7/default/d/b").write_bytes(b"default/d/c")
    assert manifest.first_fault(bucket_folder / "7") == "default/d/b is damaged (its SHA-256 differs)"
    (bucket_folder / "7/default/d/b").unlink()
    assert manifest.first_fault(bucket_folder / "7") == "default/d/b is missing"


@pytest.mark.slow
def test_a_checkpoint_that_was_not_completed_is_written_again(bucket_folder: pathlib.Path) -> None:
    """A process was killed before Orbax wrote its last objects."""

    def state(step: int) -> TrainState:
        number, leaf = np.int32(step), {"leaf": np.full(5, step, np.float32)}
        return TrainState(*(number if name in ("step", "batch") else leaf for name in TrainState._fields))  # type: ignore[arg-type]

    with contextlib.closing(Checkpoints(bucket_folder, keep=2)) as checkpoints:
        for step in (2, 4):
            checkpoints.save(step, state(step))
    for name in ("_CHECKPOINT_METADATA", "commit_success.txt"):
        (bucket_folder / "4" / name).unlink()
    with contextlib.closing(Checkpoints(bucket_folder, keep=2)) as checkpoints:
        assert checkpoints.valid_steps(9) == [2]
        checkpoints.save(4, state(4))
        checkpoints.wait()
        assert checkpoints.valid_steps(9) == [2, 4]
        checkpoints.save(6, state(6))
        checkpoints.wait()
        assert checkpoints.steps() == [4, 6]
        np.testing.assert_array_equal(checkpoints.restore(4, state(0)).params["leaf"], np.full(5, 4.0))


def test_metrics_are_uploaded_by_flush(bucket_folder: pathlib.Path) -> None:
    tensorboard: Any = functools.partial(TensorBoard, Workdir(bucket_folder), cast(Spec, None), 0)
    recorder = metrics.Recorder(bucket_folder, 0, [tensorboard])
    recorder.write(1, "train", {"loss": 2.0})
    assert metrics.read(bucket_folder) == []
    recorder.flush()
    recorder.write(2, "train", {"loss": 1.0})
    assert [event["step"] for event in metrics.read(bucket_folder)] == [1]
    recorder.close()
    assert [event["step"] for event in metrics.read(bucket_folder)] == [1, 2]
    metrics.Recorder(bucket_folder, 1, [tensorboard]).close()
    assert [event["step"] for event in metrics.read(bucket_folder)] == [1]
    assert len(list((bucket_folder / "tensorboard").iterdir())) in (1, 2)  # named by the second in which they began


def test_errors_are_one_line(gcs: bucket.Proxy, bucket_folder: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="gs://buckett: this bucket does not exist"):
        storage.path("gs://buckett/run")
    for status in (401, 403):
        gcs.denied = status
        try:
            with pytest.raises(PermissionError, match=r"denied by the test.*; log in with") as caught:
                (bucket_folder / "a").write_bytes(b"")
            with pytest.raises(PermissionError):  # not False
                bucket_folder.exists()
        finally:
            gcs.denied = 0
        assert "\n" not in str(caught.value)
