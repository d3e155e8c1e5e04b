"""Too little disk or memory is found before training, with a message that gives the size needed."""

import collections
import errno
import os
import pathlib
import shutil
from typing import Any, cast

import jax
import numpy as np
import pytest

from experiments.runtime import preflight

STATE = {"kernel": jax.ShapeDtypeStruct((1024, 256), np.float32), "step": jax.ShapeDtypeStruct((), np.int32)}
GIB = 1 << 30


def test_enough_disk_space_leaves_no_file(tmp_path: pathlib.Path) -> None:
    preflight.check_disk(tmp_path / "checkpoints", STATE, keep=2)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_too_little_disk_space_is_reported(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = collections.namedtuple("usage", "total used free")
    size = 1024 * 256 * 4 + 4
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10 * size, 6 * size, 4 * size))
    preflight.check_disk(tmp_path, STATE, keep=3)
    with pytest.raises(ValueError, match=r"needed for 4 checkpoints and one that is being written, .* are free"):
        preflight.check_disk(tmp_path, STATE, keep=4)
    (tmp_path / "100").mkdir()  # one is there: it gives its room to the next
    preflight.check_disk(tmp_path, STATE, keep=4)


def test_a_full_disk_is_reported(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, begin: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(ValueError, match=r"a checkpoint of 1\.0 MiB cannot be written \(No space left"):
        preflight.check_disk(tmp_path, STATE, keep=1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file/run: a checkpoint of .* cannot be written \(Not a directory\)"):
        preflight.check_disk(tmp_path / "file/run", STATE, keep=1)


class Compiled:
    """A step that needs one GiB per thousand cells of a batch, and one GiB for the state."""

    def memory_bytes(self, shape: tuple[int, int, int]) -> tuple[int, int]:
        return GIB, shape[0] * (shape[1] + shape[2]) * GIB // 1000


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (None, "memory: 3.00 GiB per device for the largest batch (100 × 10 and 10 tokens)"),
        (
            10 * GIB,
            "memory: 3.00 GiB of 10.00 GiB per device for the largest batch (100 × 10 and 10 tokens); "
            "data.tokens_per_batch up to about 4,096 would fit",
        ),
    ],
)
def test_memory_of_the_largest_batch_is_reported(
    monkeypatch: pytest.MonkeyPatch, memory: int | None, expected: str
) -> None:
    monkeypatch.setattr(preflight, "available_memory", lambda: memory)
    lines: list[str] = []
    preflight.check_memory(cast(Any, Compiled()), [(10, 5, 5), (100, 10, 10), (60, 15, 15)], 1000, lines.append)
    assert lines == [expected]


@pytest.mark.parametrize(
    ("memory", "remedy"), [(3 * GIB, "data.tokens_per_batch=768 would fit"), (GIB, "the model itself is too large")]
)
def test_too_little_memory_is_reported(monkeypatch: pytest.MonkeyPatch, memory: int, remedy: str) -> None:
    monkeypatch.setattr(preflight, "available_memory", lambda: memory)
    with pytest.raises(MemoryError, match=rf"needs 3\.00 GiB on a device that has .*; {remedy}"):
        preflight.check_memory(cast(Any, Compiled()), [(100, 10, 10)], 1000, print)


def test_this_machine_has_memory() -> None:
    memory = preflight.available_memory()
    assert memory is None or memory > 1 << 20
