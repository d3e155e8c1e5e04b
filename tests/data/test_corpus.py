import dataclasses
import gzip
import pathlib
import pickle
import subprocess
import sys
import types

import pytest

import transformer.data
from configs.base import get_config
from transformer.data.corpus import Pair, open_corpus, read_parallel
from transformer.data.fingerprint import fingerprints_match
from transformer.spec import DataSpec


def make_spec(**changes) -> DataSpec:
    return DataSpec.from_config({**get_config().to_dict()["data"], **changes})


def write(path: pathlib.Path, data: bytes) -> pathlib.Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def files(tmp_path: pathlib.Path) -> DataSpec:
    """A corpus of 5 training pairs, plain, and 3 test pairs, compressed."""
    for language, word in (("fr", "mot"), ("en", "word")):
        write(tmp_path / f"train.{language}", "".join(f"{word} {i}\n" for i in range(5)).encode())
        write(tmp_path / f"test.{language}.gz", "".join(f"{word} t{i}\n" for i in range(3)).encode())
    return make_spec(source="files", path=f"{tmp_path}/{{split}}.{{language}}")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.fr: no such file"):
        read_parallel(tmp_path / "nowhere.fr", tmp_path / "nowhere.en")


def test_misaligned_files_are_named_with_both_counts(tmp_path):
    source = write(tmp_path / "a.fr", b"un\ndeux\ntrois\n")
    target = write(tmp_path / "a.en.gz", b"one\ntwo\n")
    with pytest.raises(ValueError, match=r"a.fr has 3 lines but .*a.en.gz has 2"):
        read_parallel(source, target)


@pytest.mark.parametrize(
    ("direction", "pair"), [("fr-en", Pair("mot 4", "word 4")), ("en-fr", Pair("word 4", "mot 4"))]
)
def test_direction_selects_the_source_file(files, direction, pair):
    pairs = open_corpus(dataclasses.replace(files, direction=direction)).split("train")
    assert len(pairs) == 5
    assert pairs[4] == pair


def test_train_pairs_cuts_the_training_split_only(files):
    corpus = open_corpus(dataclasses.replace(files, train_pairs=2))
    assert list(corpus.split("train")) == [Pair("mot 0", "word 0"), Pair("mot 1", "word 1")]
    assert len(corpus.split("test")) == 3


def test_more_train_pairs_than_there_are_are_all_pairs(files):
    corpus = open_corpus(dataclasses.replace(files, train_pairs=6))
    assert len(corpus.split("train")) == len(corpus.lazy_split("train")) == 5


def test_a_split_without_files_names_the_file(files):
    with pytest.raises(
        FileNotFoundError,
        match=r"tset.fr: no such file, nor with .gz or .bz2 or .xz or .zst; data.path=.* split 'tset'",
    ):
        open_corpus(files).split("tset")


TMX = (
    '<tmx version="1.4"><body>'
    + "".join(
        f"<tu><tuv xml:lang='en-US'><seg>word {i}</seg></tuv><tuv xml:lang='fr'><seg>mot {i}</seg></tuv></tu>"
        for i in range(5)
    )
    + "</body></tmx>"
)
PAIR_FILES = {
    "train.tsv": "".join(f"mot {i}\tword {i}\n" for i in range(5)),
    "train.tmx": TMX,
    "train.po": "".join(f'msgid "word {i}"\nmsgstr "mot {i}"\n\n' for i in range(5)),
}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", PAIR_FILES)
def test_one_file_holds_both_sides(tmp_path, name, suffix):
    write(tmp_path / f"{name}{suffix}", PAIR_FILES[name].encode())
    spec = make_spec(source="files", path=f"{tmp_path}/{name.replace('train', '{split}')}", train_pairs=4)
    expected = [Pair(f"mot {i}", f"word {i}") for i in range(4)]
    corpus = open_corpus(spec)
    assert list(corpus.split("train")) == expected
    assert list(corpus.lazy_split("train")) == expected
    cache = tmp_path / "cache"
    cache.mkdir()
    for _ in range(2):  # the second time from the cache
        assert list(pickle.loads(pickle.dumps(corpus.lazy_split("train", cache)))) == expected
    reverse = open_corpus(dataclasses.replace(spec, direction="en-fr"))
    same = fingerprints_match(corpus.fingerprint("train", {}), reverse.fingerprint("train", {}))
    if name == "train.tsv":  # the first column is the source, whatever the direction
        assert not same
    else:
        assert same
        assert list(reverse.split("train")) == list(reverse.lazy_split("train", cache)) == [p[::-1] for p in expected]
    with pytest.raises(FileNotFoundError, match=r"test\.\w+: no such file, nor with .gz .* for split 'test'"):
        corpus.split("test")


def test_a_changed_file_is_read_again(tmp_path):
    path = write(tmp_path / "train.tmx", TMX.encode())
    spec = make_spec(source="files", path=f"{tmp_path}/{{split}}.tmx", train_pairs=None)
    assert len(open_corpus(spec).lazy_split("train", tmp_path)) == 5
    path.write_text(TMX.replace("mot 4", "mot nouveau"), encoding="utf-8")
    assert open_corpus(spec).lazy_split("train", tmp_path)[4] == Pair("mot nouveau", "word 4")


def test_other_braces_in_a_path_are_characters(tmp_path):
    folder = tmp_path / "{0}"
    folder.mkdir()
    for language in ("fr", "en"):
        write(folder / f"train.{language}", b"a\n")
    spec = make_spec(source="files", path=f"{folder}/{{split}}.{{language}}")
    assert open_corpus(spec).split("train")[0] == Pair("a", "a")


@pytest.fixture
def grammar(monkeypatch):
    """A stand-in for the grammar with the same interface."""
    fake = types.ModuleType("transformer.data.grammar")
    fake.SPLITS = ("train", "validation", "test", "long")  # type: ignore[attr-defined]
    fake.generate = lambda split, index, seed=0: types.SimpleNamespace(  # type: ignore[attr-defined]
        french=f"{split} {index} fr", english=f"{split} {index} en"
    )
    monkeypatch.setitem(sys.modules, "transformer.data.grammar", fake)
    monkeypatch.setattr(transformer.data, "grammar", fake, raising=False)


@pytest.mark.usefixtures("grammar")
def test_generated_splits():
    corpus = open_corpus(make_spec(source="grammar", train_pairs=7, direction="en-fr"))
    assert [len(corpus.split(name)) for name in ("train", "validation", "test", "long")] == [7, 1000, 1000, 1000]
    assert corpus.split("train")[6] == Pair("train 6 en", "train 6 fr")
    assert corpus.split("long")[-1] == Pair("long 999 en", "long 999 fr")
    with pytest.raises(ValueError, match="no split 'val'; it has train, validation, test, long"):
        corpus.split("val")


def test_data_needs_neither_jax_nor_tensorflow_datasets_to_start():
    program = (
        "import sys; from transformer.data import corpus; from transformer.data.batches import loader; "
        "from transformer.data.tokenizers import sentencepiece; "
        "print([name for name in ('jax', 'grain', 'tensorflow', 'tensorflow_datasets') if name in sys.modules])"
    )
    root = pathlib.Path(transformer.data.__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
