import dataclasses
import hashlib
import json
import pathlib
import pickle

import numpy as np
import pytest

from configs.base import get_config
from transformer.data.corpus import open_corpus
from transformer.data.pairs import LazyPairs
from transformer.data.prepared import Prepared, made_of
from transformer.data.shards import NAMES, Shards, damage, fingerprints
from transformer.data.token_dataset import TokenizedPairs, tokenize
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import DataSpec

SIZE, LONGEST = 13, 9
TEXTS = [" ".join(f"mot{word}" for word in range(number % 7)) for number in range(61)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, 19, "bpe")


@pytest.fixture
def shards(tmp_path: pathlib.Path) -> Shards:
    """Of files of 61 pairs, some of them with an empty side or too long."""
    for language, lines in (("fr", TEXTS), ("en", TEXTS[1:] + TEXTS[:1])):
        (tmp_path / f"train.{language}").write_text("".join(f"{line}\n" for line in lines))
    changes = {"source": "files", "path": f"{tmp_path}/{{split}}.{{language}}", "max_length": LONGEST}
    spec = DataSpec.from_config({**get_config().to_dict()["data"], **changes, "prepared": f"{tmp_path}/prepared"})
    folder, corpus = Prepared(pathlib.Path(spec.prepared)), open_corpus(spec)
    folder.path.mkdir()
    folder.write({"made_of": made_of(spec, corpus, folder)})
    return Shards(folder, corpus.lazily("train", folder.path), spec, SIZE)


def finish(shards: Shards, tokenizer: Tokenizer) -> list[int]:
    """Makes the folder whole; returns the shards that were missing."""
    missing = shards.missing()
    for number in reversed(missing):
        pickle.loads(pickle.dumps(shards)).make(number, tokenizer)  # as in another process
    contents = shards.join(lambda _: None)
    shards.folder.write(shards.folder.manifest | contents | {"fingerprints": fingerprints(shards.folder)})
    shards.clear()
    return missing


def check(found: TokenizedPairs, expected: TokenizedPairs) -> None:
    assert found.dropped == expected.dropped
    for one, other in (
        (found.source.tokens, expected.source.tokens),
        (found.source.offsets, expected.source.offsets),
        (found.target.tokens, expected.target.tokens),
        (found.target.offsets, expected.target.offsets),
        (found.positions, expected.positions),
    ):
        assert one.dtype == other.dtype
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("direction", ["fr-en", "en-fr"])
def test_shards_together_are_the_tokenized_split(shards, tokenizer, direction):
    assert finish(shards, tokenizer) == [0, 1, 2, 3, 4]
    spec = dataclasses.replace(shards.spec, direction=direction)
    expected = tokenize(open_corpus(spec).split("train"), tokenizer, LONGEST)
    assert 0 < expected.dropped < 40
    found = Prepared.of(spec, open_corpus(spec)).pairs(direction)
    check(found, expected)
    check(pickle.loads(pickle.dumps(found)), expected)
    assert len(pickle.dumps(found)) < 1000  # of a corpus of gigabytes, too
    assert found.fingerprint == expected.fingerprint
    indices = np.array([5, -1, 0, 17])
    for one, other in zip(found.batch(indices, 29, 31), expected.batch(indices, 29, 31), strict=True):
        assert (one == other).all()


def test_only_missing_shards_are_made(shards, tokenizer):
    for number in (1, 4):
        assert shards.make(number, tokenizer) == len(shards.part(number))
    assert shards.missing() == [0, 2, 3]
    half = shards.folder.path / "shards" / "0000000000-0000000013.npz.tmp"
    half.write_bytes(b"PK")  # one that was cut off has no name yet
    assert finish(shards, tokenizer) == [0, 2, 3]
    assert not half.exists()
    assert not half.parent.exists()


def flipped(data: bytes) -> bytes:
    """One bit of the tokens is another."""
    place = data.index(b"fr.tokens.npy") + 200
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


@pytest.mark.parametrize(
    "spoil", [lambda data: data[: len(data) // 2], lambda _: b"", flipped], ids=["cut off", "empty", "flipped"]
)
def test_a_damaged_shard_is_named(shards, tokenizer, spoil):
    for number in shards.missing():
        shards.make(number, tokenizer)
    path = sorted((shards.folder.path / "shards").iterdir())[2]
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=r"0000000026-0000000039.npz: damaged .* delete it, and the same command"):
        shards.join(lambda _: None)
    assert not shards.folder.whole
    path.unlink()
    assert finish(shards, tokenizer) == [2]


def test_progress_is_told(shards, tokenizer):
    for number in shards.missing():
        shards.make(number, tokenizer)
    told = []
    shards.join(told.append)
    assert sum(told) == len(NAMES) * 61
    assert len(told) == len(NAMES) * 5


def test_a_shard_of_nothing_is_no_mistake_but_a_split_is(shards, tokenizer):
    nothing = dataclasses.replace(shards, spec=dataclasses.replace(shards.spec, max_length=1))
    for number in nothing.missing():
        nothing.make(number, tokenizer)
    with pytest.raises(ValueError, match="none of 61 pairs is left"):
        nothing.join(lambda _: None)
    nothing.clear()
    nothing.make(3, tokenizer)
    assert finish(shards, tokenizer) == [0, 1, 2, 4]
    found = shards.folder.pairs("fr-en")
    assert not {*range(39, 52)} & set(found.positions.tolist())
    assert len(found) > 20


def test_a_file_that_is_not_what_was_written_is_found(shards, tokenizer):
    finish(shards, tokenizer)
    assert damage(shards.folder) is None
    path = shards.folder.path / "en.tokens.npy"
    data = path.read_bytes()
    path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    assert damage(shards.folder) == "en.tokens.npy"
    files = json.loads((shards.folder.path / "prepared.json").read_text())["files"]
    assert files["en.tokens.npy"]["sha256"] == hashlib.sha256(data).hexdigest()


def test_pairs_need_not_come_from_a_corpus(shards, tokenizer):
    listed = list(shards.pairs)
    other = dataclasses.replace(shards, pairs=LazyPairs(20, lambda indices: [listed[i] for i in indices]))
    assert other.count == 2
    other.make(1, tokenizer)
    assert other.missing() == [0]
