"""Outputs that cannot be written are found without writing them."""

import os
import pathlib

import pytest

from experiments.runtime.outputs import check_file, check_folder


def test_a_check_changes_nothing(tmp_path: pathlib.Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("content")
    for path in (kept, tmp_path / "new", os.devnull):
        check_file("--output", path)
    check_folder("--output", tmp_path)
    check_folder("--output", tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == [kept]
    assert kept.read_text() == "content"


@pytest.mark.parametrize(
    ("check", "path", "message"),
    [
        (check_file, "missing/x", "the folder .*missing does not exist; create it first"),
        (check_file, "", "is a folder; name a file"),
        (check_file, "file/x", "the folder .*file does not exist"),
        (check_folder, "file", "cannot be written: Not a directory"),
        (check_folder, "file/x", "cannot be written: Not a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(tmp_path: pathlib.Path, check, path: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=f"--output=.*{message}"):
        check("--output", tmp_path / path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: pathlib.Path) -> None:
    tmp_path.chmod(0o500)
    for check, path in ((check_file, tmp_path / "x"), (check_folder, tmp_path / "x")):
        with pytest.raises(ValueError, match="Permission denied"):
            check("--output", path)
