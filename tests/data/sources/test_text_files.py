import gzip
import pathlib
import pickle

import pytest

from transformer.data.sources import text_files
from transformer.data.sources.text_files import LazyLines, read_lines


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


def test_gzip_is_recognised_by_content(tmp_path):
    (tmp_path / "text.fr").write_bytes(gzip.compress(b"un\n", mtime=0))
    assert read_lines(tmp_path / "text.fr") == ["un"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.fr", b"", "a.fr: the file is empty"),
        ("a.fr.gz", b"", "a.fr.gz: the file is empty"),
        # mtime=0: the cases have the same names in every process that collects them.
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


@pytest.fixture(params=[(1, 3), (3, 5), (4096, 1 << 22)], ids=["1", "3", "4096"])
def _pieces(request, monkeypatch):
    """Sets the lines of a block and the bytes of a piece."""
    monkeypatch.setattr(text_files, "_BLOCK", request.param[0])
    monkeypatch.setattr(text_files, "_PIECE", request.param[1])


@pytest.mark.usefixtures("_pieces")
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
@pytest.mark.parametrize(
    "content",
    [
        "un\ndeux\ntrois\n",
        "un\ndeux\ntrois",
        "\ufeffun\r\n\r\ndéjà\u2028vu\n\nsix\n",
        "\n",
        "\n\n\n",
        "un\n\n",
        "\ufeff",
        "".join(f"{'é' * (number % 5)}{number}\n" for number in range(31)),
    ],
    ids=range(8),
)
def test_lazy_lines_are_the_lines(tmp_path, name, content):
    path = tmp_path / name
    data = content.encode()
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    expected = read_lines(path)
    lazy = LazyLines(path)
    assert len(lazy) == len(expected)
    assert lazy.take(range(len(lazy))) == expected
    some = [*range(1, len(expected), 3), *range(len(expected) - 1, -1, -4)]
    assert pickle.loads(pickle.dumps(lazy)).take(some) == [expected[index] for index in some]


def test_the_index_is_reused_until_the_file_changes(tmp_path, monkeypatch):
    path, index = tmp_path / "a.txt", tmp_path / "index.npy"
    path.write_text("un\ndeux\n")
    assert LazyLines(path, index).take([1]) == ["deux"]
    with monkeypatch.context() as without:
        without.setattr(text_files, "pieces", None)  # the file is not scanned
        assert LazyLines(path, index).take([0, 1]) == ["un", "deux"]
    path.write_text("un\ndeux\ntrois\n")
    assert LazyLines(path, index).take([2]) == ["trois"]


def test_a_lazy_line_that_is_not_utf_8_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "_BLOCK", 3)
    path = tmp_path / "a.txt"
    path.write_bytes(b"un\n" * 7 + b"d\xe9j\xe0\n" + b"un\n" * 7)
    lazy = LazyLines(path)
    assert lazy.take([0, 5, 9]) == ["un"] * 3
    with pytest.raises(ValueError, match=r"a.txt:8: not UTF-8: byte 0xe9 at byte 2 of the line"):
        lazy.take([8])


@pytest.mark.parametrize(
    "data", [b"", gzip.compress(b"un\n" * 999)[:-9], gzip.compress(b"")], ids=["empty", "cut off", "nothing"]
)
def test_a_damaged_file_has_no_lazy_lines(tmp_path, data):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a.txt.gz: ") as expected:
        read_lines(path)
    with pytest.raises(ValueError, match=r"a.txt.gz: ") as actual:
        LazyLines(path)
    assert str(actual.value) == str(expected.value)
    with pytest.raises(FileNotFoundError, match=r"none: no such file"):
        LazyLines(tmp_path / "none")
