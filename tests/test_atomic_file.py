import os
import pathlib
import signal
import subprocess
import sys

import pytest

from transformer import atomic_file


def names(folder: pathlib.Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def interrupted_write(path: pathlib.Path, per_process: bool) -> None:
    with atomic_file.writer(path, per_process) as file:
        file.write(b"new")
        raise ValueError("17")


def interrupted_folder(path: pathlib.Path) -> None:
    with atomic_file.folder(path) as partial:
        (partial / "file").touch()
        raise ValueError("19")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"\x00\xff\r\n", b"\x00\xff\r\n"), ("été\r\n\u2028", b"\xc3\xa9t\xc3\xa9\r\n\xe2\x80\xa8")],
)
def test_content_is_written_and_replaces_the_previous_one(tmp_path, content, expected):
    path = tmp_path / "file.json"
    atomic_file.write(path, "a longer previous content")
    atomic_file.write(path, content)
    assert path.read_bytes() == expected
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("per_process", [False, True])
def test_an_exception_keeps_the_previous_content(tmp_path, per_process):
    path = tmp_path / "file"
    path.write_bytes(b"previous")
    with pytest.raises(ValueError, match="17"):
        interrupted_write(path, per_process)
    assert path.read_bytes() == b"previous"
    assert names(tmp_path) == ["file"]


def test_the_temporary_name_can_contain_the_process_id(tmp_path):
    with (
        atomic_file.writer(tmp_path / "a.tsv") as first,
        atomic_file.writer(tmp_path / "a.tsv", per_process=True) as own,
    ):
        assert names(tmp_path) == sorted(["a.tsv.tmp", f"a.tsv.{os.getpid()}.tmp"])
        first.write(b"first")
        own.write(b"own")
    assert (tmp_path / "a.tsv").read_bytes() == b"first"  # the outer context exits last


def test_a_killed_process_leaves_the_previous_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"previous")
    program = (
        "import os, pathlib, signal, sys\nfrom transformer import atomic_file\n"
        "with atomic_file.writer(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(bytes(1 << 20)); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = subprocess.run([sys.executable, "-c", program, path], cwd=pathlib.Path(__file__).parents[1], check=False)
    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"previous"
    atomic_file.write(path, b"new")  # the file that the killed process left is no obstacle
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_appears_when_it_is_complete(tmp_path, exists):
    path = tmp_path / "models" / "marian"
    if exists:
        path.mkdir(parents=True)
    (tmp_path / "models" / "marian.partial").mkdir(parents=True)
    (tmp_path / "models" / "marian.partial" / "left_over").touch()
    with atomic_file.folder(path) as partial:
        (partial / "inside").mkdir()
        (partial / "inside" / "file").write_text("13")
        assert path.exists() == exists
    assert names(tmp_path) == ["models", "models/marian", "models/marian/inside", "models/marian/inside/file"]


def test_an_exception_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="19"):
        interrupted_folder(tmp_path / "model")
    assert names(tmp_path) == []


def test_a_folder_with_files_is_not_replaced(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "file").write_text("11")
    with pytest.raises(OSError, match="not empty"), atomic_file.folder(tmp_path / "model") as partial:
        (partial / "file").touch()
    assert names(tmp_path) == ["model", "model/file"]
    assert (tmp_path / "model" / "file").read_text() == "11"
