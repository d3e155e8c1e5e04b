"""Any damage to a file of a checkpoint is detected."""

import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable

import pytest

from transformer.training import manifest


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "item/deeper").mkdir(parents=True)
    (tmp_path / "item/array").write_bytes(bytes(range(256)) * 17)
    (tmp_path / "item/deeper/empty").write_bytes(b"")
    (tmp_path / "notes").write_text("written again when the checkpoint is committed")
    manifest.write(tmp_path)
    return tmp_path


def flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[pathlib.Path], object], str]] = {
    "a flipped bit": (lambda folder: flip(folder / "item/array"), "item/array is damaged"),
    "a truncated file": (lambda folder: os.truncate(folder / "item/array", 1), "item/array is damaged"),
    "a longer file": (lambda folder: (folder / "item/deeper/empty").write_bytes(b"x"), "item/deeper/empty is damaged"),
    "a missing file": (lambda folder: (folder / "item/deeper/empty").unlink(), "item/deeper/empty is missing"),
    "a missing folder": (lambda folder: shutil.rmtree(folder / "item/deeper"), "item/deeper/empty is missing"),
    "no manifest": (lambda folder: (folder / manifest.NAME).unlink(), "manifest.sha256 is missing"),
    "half a manifest": (lambda folder: os.truncate(folder / manifest.NAME, 50), "manifest.sha256 is truncated"),
    "an empty manifest": (lambda folder: os.truncate(folder / manifest.NAME, 0), "manifest.sha256 is truncated"),
    "no text in the manifest": (lambda folder: (folder / manifest.NAME).write_bytes(b"\xff"), "is not text"),
    "a flipped bit in the manifest": (lambda folder: flip(folder / manifest.NAME), "item/"),
    "nothing at all": (lambda folder: [shutil.rmtree(folder), folder.mkdir()], "the folder is empty"),
}


def test_a_new_folder_is_undamaged(folder: pathlib.Path) -> None:
    assert manifest.first_fault(folder) is None
    (folder / "notes").write_text("committed")
    assert manifest.first_fault(folder) is None


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_detected(folder: pathlib.Path, kind: str) -> None:
    damage, message = DAMAGE[kind]
    damage(folder)
    assert message in (manifest.first_fault(folder) or "nothing")


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_the_format_is_that_of_sha256sum(folder: pathlib.Path) -> None:
    command = ["sha256sum", "--check", "--strict", manifest.NAME]
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
    flip(folder / "item/array")
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 1
