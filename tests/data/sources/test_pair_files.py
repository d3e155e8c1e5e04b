import gzip

import pytest

from transformer.data.sources import pair_files
from transformer.data.sources.pair_files import names_sides, read_pairs

PAIRS = [("Un.", "One."), ('"Deux" !', '"Two"!')]
ROWS = 'Un.\tOne.\n"Deux" !\t"Two"!\n'
REVERSED = 'One.\tUn.\n"Two"!\t"Deux" !\n'


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("train.tsv", ROWS, False),
        ("train.tsv", "source\ttarget\n" + ROWS, False),
        ("train.tsv", "fr\ten\n" + ROWS, True),
        ("train.tsv", "EN\tfr_CA\n" + REVERSED, True),
        ("train.tsv", "score\ten\tfr\n0.5\tOne.\tUn.\n0.1\t\"Two\"!\t\"Deux\" !\n", True),
        ("train.fr-en.tsv", ROWS, True),
        ("europarl_v10.en-fr.train.tsv", REVERSED, True),
        ("open-france.tsv", ROWS, False),
        ("train.tsv", "\ufeff" + ROWS.replace("\n", "\r\n"), False),
    ],
)  # fmt: skip
def test_columns_have_an_order(tmp_path, monkeypatch, name, text, named):
    monkeypatch.setattr(pair_files, "_BLOCK", 1)
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    assert list(read_pairs(path, "fr", "en")) == PAIRS
    assert names_sides(path, "fr", "en") == named
    if named:
        assert list(read_pairs(path, "en", "fr")) == [pair[::-1] for pair in PAIRS]
        assert names_sides(path, "en", "fr")


def test_a_compressed_table(tmp_path):
    path = tmp_path / "train.tsv.gz"
    path.write_bytes(gzip.compress(ROWS.encode()))
    assert list(read_pairs(path, "fr", "en")) == PAIRS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Un.\tOne.\nDeux.\n", r"a.tsv:2: no tab, but a line has 2 columns, separated by tabs"),
        ("Un. One.\n", r"a.tsv:1: no tab, but a line has 2 columns"),
        ("Un.\tOne.\n\nDeux.\tTwo.\n", r"a.tsv:2: no tab"),
        ("Un.\tOne.\nDeux.\tTwo.\t2\n", r"a.tsv:2: 3 columns, but a line has 2 columns"),
        ("1\tUn.\tOne.\n", r"a.tsv:1: 3 columns; add a first line that names them, and the two sides fr and en"),
        ("fr\ten\tscore\nUn.\tOne.\n", r"a.tsv:2: 2 columns, but a line has 3 columns"),
        ("", r"a.tsv: the file is empty"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "a.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        list(read_pairs(path, "fr", "en"))


def test_a_missing_file_is_named(tmp_path):
    for suffix in ("tsv", "tmx", "po"):
        with pytest.raises(FileNotFoundError, match=f"none.{suffix}: no such file"):
            list(read_pairs(tmp_path / f"none.{suffix}", "fr", "en"))
