import pathlib

import pytest

from transformer.local_copy import local_copy


def test_a_path_on_disk_is_its_own_copy(tmp_path: pathlib.Path) -> None:
    assert local_copy(tmp_path / "none") == tmp_path / "none"


def test_a_local_copy_follows_the_bucket(
    bucket_folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (bucket_folder / "a").write_bytes(b"one")
    (bucket_folder / "sub/b").write_bytes(b"two")
    copy = local_copy(bucket_folder)
    assert {path.name: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == {"a": b"one", "b": b"two"}
    kept = (copy / "a").stat().st_ino
    (bucket_folder / "sub/b").write_bytes(b"six")
    assert local_copy(bucket_folder / "sub/b").read_bytes() == b"six"
    local_copy(bucket_folder)
    assert (copy / "a").stat().st_ino == kept  # not downloaded again
    with pytest.raises(FileNotFoundError, match="not found in the bucket"):
        local_copy(bucket_folder / "none")
