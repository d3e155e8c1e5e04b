import bz2
import gzip
import lzma
import pathlib
import sys

import pytest

from transformer.data.sources import compression
from transformer.data.sources.text_files import LazyLines, read_lines

TEXT = "un\ndéjà vu\n" * 50
COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
NAMES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_lines_are_the_lines(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(COMPRESS[suffix](TEXT.encode()))
    expected = TEXT.split("\n")[:-1]
    assert read_lines(path) == expected
    lazy = LazyLines(path)
    assert lazy.take(range(len(lazy))) == expected
    assert lazy.take([99, 0, 1]) == [expected[99], expected[0], expected[1]]


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"un\n"], ids=["cut off", "plain"])
def test_damaged_data_are_named(tmp_path, suffix, damage):
    path = tmp_path / f"text.fr{suffix}"
    path.write_bytes(damage(COMPRESS[suffix](TEXT.encode())))
    for read in (read_lines, LazyLines):
        with pytest.raises(ValueError, match=rf"text.fr{suffix}: not a complete {NAMES[suffix]} file \(") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_only_gzip_needs_no_suffix(tmp_path):
    path = tmp_path / "text.fr"
    path.write_bytes(gzip.compress(TEXT.encode()))
    assert len(read_lines(path)) == 100
    path.write_bytes(bz2.compress(TEXT.encode()))
    with pytest.raises(ValueError, match=r"text.fr: a bzip2 file without .bz2 in its name"):
        read_lines(path)


def test_zstandard_is_read_with_a_library(tmp_path):
    zstd = pytest.importorskip("backports.zstd")
    path = tmp_path / "text.fr.zst"
    path.write_bytes(zstd.compress(TEXT.encode()))
    assert read_lines(path) == TEXT.split("\n")[:-1]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="not a complete Zstandard file"):
        read_lines(path)


def test_zstandard_without_a_library_names_it(tmp_path, monkeypatch):
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "text.fr.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(ValueError, match=r"text.fr.zst: Zstandard needs a library: pip install backports.zstd"):
        read_lines(path)


def test_text_that_begins_like_a_name_of_a_format_is_plain(tmp_path: pathlib.Path):
    path = tmp_path / "text"
    path.write_text("BZh est un sigle.\n", encoding="utf-8")
    assert compression.detect(path) is None
    assert read_lines(path) == ["BZh est un sigle."]
