import gzip
import pathlib

import pytest

from transformer.data.lines import read_lines


def write(path: pathlib.Path, data: bytes) -> pathlib.Path:
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["text.fr", "text.fr.gz"])
@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ("un\ndeux\n", ["un", "deux"]),
        ("un\ndeux", ["un", "deux"]),
        ("un\r\ndeux\r\n", ["un", "deux"]),
        ("un\n\n\ndeux\n", ["un", "", "", "deux"]),
        ("\n", [""]),
        ("a\u2028b\u0085c\vd\fe\x1cf\rg\n h ", ["a\u2028b\u0085c\vd\fe\x1cf\rg", " h "]),
        ("\ufeffun\n\ufeffdeux\n", ["un", "\ufeffdeux"]),
    ],
)
def test_only_a_newline_ends_a_line(tmp_path, name, data, lines):
    assert read_lines(write(tmp_path / name, data.encode())) == lines


def test_gzip_is_told_by_content(tmp_path):
    (tmp_path / "text.fr").write_bytes(gzip.compress(b"un\n", mtime=0))
    assert read_lines(tmp_path / "text.fr") == ["un"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.fr", b"", "a.fr: the file is empty"),
        ("a.fr.gz", b"", "a.fr.gz: the file is empty"),
        # Without the time in it: the cases have the same names in every process that collects them.
        ("a.fr.gz", gzip.compress(b"", mtime=0), "a.fr.gz: the file is empty once decompressed"),
        ("a.fr.gz", gzip.compress(b"un\ndeux\n" * 50, mtime=0)[:-9], "a.fr.gz: not a complete gzip file"),
        ("a.fr.gz", b"un\n", "a.fr.gz: not a complete gzip file"),
        ("a.fr.gz", gzip.compress(b"un\n", mtime=0)[:-8] + bytes(8), "a.fr.gz: not a complete gzip file"),
        ("a.fr", b"un\nd\xe9j\xe0 vu\n", r"a.fr:2: not UTF-8: byte 0xe9 at byte 2 of the line"),
        ("a.fr", "un\n".encode("utf-16"), r"a.fr:1: not UTF-8"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        read_lines(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.fr: no such file"):
        read_lines(tmp_path / "nowhere.fr")
    with pytest.raises(ValueError, match=f"{tmp_path}: not a file"):
        read_lines(tmp_path)
