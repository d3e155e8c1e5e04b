import contextlib
import functools
import gzip
import hashlib
import http.server
import pathlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow_datasets as tfds

from configs.base import get_config
from transformer.data.corpus import Corpus, Pair, open_corpus
from transformer.data.sources import multi30k
from transformer.spec import DataSpec

SIZES = {"train": 23, "val": 5, "test_2016_flickr": 7}  # 23 pairs in an order that a shuffle would not keep


def sentences(split: str, language: str) -> list[str]:
    return [f" {language} « {split}\u2028{i} » " for i in range(SIZES.get(split, 3))]


@pytest.fixture
def public(tmp_path: pathlib.Path, monkeypatch) -> pathlib.Path:
    """A folder like the public one, with files of all languages; their checksums replace the published ones."""
    folder = tmp_path / "public"
    folder.mkdir()
    for split in multi30k.SPLITS:
        for language in ("en", "fr", "de", "cs"):
            data = gzip.compress("".join(f"{line}\n" for line in sentences(split, language)).encode())
            (folder / f"{split}.{language}.gz").write_bytes(data)
            name = f"{split}.{language}.gz"
            for table, digest in ((multi30k.SHA256, hashlib.sha256(data)), (multi30k.MD5, hashlib.md5(data))):
                if name in table:
                    monkeypatch.setitem(table, name, digest.hexdigest())
    return folder


@pytest.fixture
def raw(tmp_path: pathlib.Path, public: pathlib.Path) -> pathlib.Path:
    """A folder with the files of three of the six splits."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for split in SIZES:
        copy(public, folder, split)
    return folder


def copy(public: pathlib.Path, folder: pathlib.Path, split: str) -> None:
    for name in multi30k.file_names(split):
        (folder / name).write_bytes((public / name).read_bytes())


def open_in(tmp_path: pathlib.Path, raw: pathlib.Path | str, **changes) -> Corpus:
    where = {"source": "tfds", "name": "multi30k", "directory": f"{tmp_path}/tfds", "raw_directory": str(raw)}
    return open_corpus(DataSpec.from_config({**get_config().to_dict()["data"], **where, **changes}))


@contextlib.contextmanager
def served(folder: pathlib.Path) -> Iterator[str]:
    """The URL of a web server of this machine that serves `folder`."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def closed_url() -> str:
    """A URL of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_the_table_covers_every_file():
    assert list(multi30k.SHA256) == [name for split in multi30k.SPLITS for name in multi30k.file_names(split)]
    assert {len(digest) for digest in multi30k.SHA256.values()} == {64}
    assert len(set(multi30k.SHA256.values())) == 12


def test_local_files_are_read_in_their_order(tmp_path, raw, capsys):
    corpus = open_in(tmp_path, raw)
    for split, size in SIZES.items():
        assert len(corpus.split(split)) == size
        assert list(corpus.split(split)) == list(map(Pair, sentences(split, "fr"), sentences(split, "en")))
    assert capsys.readouterr().out == ""  # a program's output is its own; TFDS prints
    swapped = open_in(tmp_path, "", direction="en-fr", train_pairs=2)
    assert swapped.split("train")[1] == Pair(sentences("train", "en")[1], sentences("train", "fr")[1])
    assert [len(swapped.split(name)) for name in ("train", "val")] == [2, 5]


def test_validation_is_another_name_of_val_and_slices_work(tmp_path, raw):
    corpus = open_in(tmp_path, raw)
    assert list(corpus.split("validation")) == list(corpus.split("val"))
    assert list(corpus.split("validation[1:3]")) == list(corpus.split("val"))[1:3]


def test_tfds_itself_reads_it(tmp_path, raw):
    config = tfds.download.DownloadConfig(manual_dir=raw)
    records: Any = tfds.data_source(
        "multi30k", split="val", data_dir=tmp_path, download_and_prepare_kwargs={"download_config": config}
    )
    assert records[4]["fr"].decode() == sentences("val", "fr")[4]


def test_the_error_for_a_split_without_local_files_names_files_and_folder(tmp_path, raw):
    corpus = open_in(tmp_path, raw)
    corpus.split("train")
    message = (
        f"{raw} has no files of split 'test_2018_flickr': put test_2018_flickr.en.gz and test_2018_flickr.fr.gz from"
    )
    with pytest.raises(FileNotFoundError, match=message):
        corpus.split("test_2018_flickr")
    with pytest.raises(ValueError, match="no split 'tset'; it has train, val, test_2016_flickr, test_2017_flickr"):
        corpus.split("tset")


def test_files_that_come_later_are_prepared_too(tmp_path, raw, public):
    corpus = open_in(tmp_path, raw)
    train = list(corpus.split("train"))
    copy(public, raw, "test_2017_mscoco")
    assert len(corpus.split("test_2017_mscoco")) == 3
    assert list(open_in(tmp_path, raw).split("train")) == train


def test_preparing_again_loses_no_split(tmp_path, raw, public):
    open_in(tmp_path, raw).split("train")
    other = tmp_path / "other"
    other.mkdir()
    copy(public, other, "test_2017_flickr")
    with pytest.raises(ValueError, match="has no files of train, val, test_2016_flickr, which is prepared already"):
        open_in(tmp_path, other).split("test_2017_flickr")
    assert len(open_in(tmp_path, raw).split("train")) == SIZES["train"]


def test_a_changed_file_is_refused(tmp_path, raw):
    path = raw / "val.fr.gz"
    path.write_bytes(gzip.compress(b"un\n" * 5))
    with pytest.raises(ValueError, match=r"val.fr.gz: not multi30k's val.fr.gz: sha256 is \w{64}, published is \w{64}"):
        open_in(tmp_path, raw).split("train")
    assert not (tmp_path / "tfds/multi30k/1.0.0").exists()


def test_half_a_split_is_refused(tmp_path, raw):
    (raw / "val.en.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"val.en.gz: no such file, and multi30k's split 'val' needs it"):
        open_in(tmp_path, raw).split("train")


def test_a_missing_raw_directory_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data.raw_directory: .*/nowhere: no such folder"):
        open_in(tmp_path, tmp_path / "nowhere").split("train")


def test_a_download_gets_and_verifies_all_splits(tmp_path, public, monkeypatch):
    with served(public) as url:
        monkeypatch.setattr(multi30k, "URL", url)
        corpus = open_in(tmp_path, "")
        assert [len(corpus.split(split)) for split in multi30k.SPLITS] == [23, 5, 7, 3, 3, 3]
        (public / "val.en.gz").write_bytes(gzip.compress(b"changed\n" * 5))
        with pytest.raises(ValueError, match=r"not multi30k's val.en.gz: sha256 is"):
            open_in(tmp_path / "elsewhere", "").split("train")


def test_a_download_that_cannot_work_fails_at_once_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(multi30k, "URL", closed_url())
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"cannot download multi30k from http.*refused") as caught:
        open_in(tmp_path, "").split("val")
    assert time.monotonic() - start < 10
    assert "put the .en.gz and .fr.gz files of train, val," in str(caught.value)
    assert "into a folder and name it in data.raw_directory" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("direction", "tests"), [("en-de", 3), ("de-en", 3), ("fr-de", 3), ("cs-en", 1)])
def test_other_languages(tmp_path, public, direction, tests):
    source, target = direction.split("-")
    corpus = open_in(tmp_path, public, direction=direction)
    assert list(corpus.split("val")) == list(map(Pair, sentences("val", source), sentences("val", target)))
    assert len(multi30k.splits_of((source, target))) == 2 + tests
    with pytest.raises(ValueError, match="no split 'test_2018_flickr'; it has train, val, test_2016_flickr"):
        corpus.split("test_2018_flickr")
    assert corpus.fingerprint("train", {})["name"].startswith("multi30k_pair/")


def test_a_language_that_multi30k_lacks_is_refused(tmp_path, public):
    with pytest.raises(ValueError, match=r"^data.direction: multi30k is in English, .* and Czech, not ja and en"):
        open_in(tmp_path, public, direction="en-ja")


def test_a_changed_german_file_is_refused(tmp_path, public):
    (public / "val.de.gz").write_bytes(gzip.compress(b"eins\n" * 5))
    with pytest.raises(ValueError, match=r"val.de.gz: not multi30k's val.de.gz: md5 is \w{32}, published is \w{32}"):
        open_in(tmp_path, public, direction="en-de").split("train")
