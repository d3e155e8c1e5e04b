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
from transformer.data.prepared import PreparedFolder, provenance
from transformer.data.shards import Shards, first_damaged_file
from transformer.data.token_dataset import TokenizedPairs, tokenize
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import DataSpec

SIZE, LONGEST = 13, 9
TEXTS = [" ".join(f"mot{word}" for word in range(number % 7)) for number in range(61)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train_from_texts(TEXTS, 19, "bpe")


@pytest.fixture
def shards(tmp_path: pathlib.Path) -> Shards:
    """Shards of two files with 61 pairs, some of them too long or with an empty side."""
    for language, lines in (("fr", TEXTS), ("en", TEXTS[1:] + TEXTS[:1])):
        (tmp_path / f"train.{language}").write_text("".join(f"{line}\n" for line in lines))
    changes = {"source": "files", "path": f"{tmp_path}/{{split}}.{{language}}", "max_length": LONGEST}
    spec = DataSpec.from_config({**get_config().to_dict()["data"], **changes, "prepared": f"{tmp_path}/prepared"})
    folder, corpus = PreparedFolder(pathlib.Path(spec.prepared)), open_corpus(spec)
    folder.path.mkdir()
    folder.write({"made_of": provenance(spec, corpus, folder)})
    return Shards(folder, corpus.lazy_split("train", folder.path), spec, SIZE)


def finish(shards: Shards, tokenizer: Tokenizer) -> list[int]:
    """Completes the folder; returns the shards that were missing."""
    missing = shards.missing()
    for number in reversed(missing):
        pickle.loads(pickle.dumps(shards)).build(number, tokenizer)  # as in another process
    contents = shards.merge(lambda _: None)
    shards.folder.write(shards.folder.manifest | contents | {"fingerprints": shards.fingerprints()})
    shards.delete()
    return missing


def check(merged: TokenizedPairs, expected: TokenizedPairs) -> None:
    assert merged.dropped == expected.dropped
    for actual, expected_array in (
        (merged.source.tokens, expected.source.tokens),
        (merged.source.offsets, expected.source.offsets),
        (merged.target.tokens, expected.target.tokens),
        (merged.target.offsets, expected.target.offsets),
        (merged.positions, expected.positions),
    ):
        assert actual.dtype == expected_array.dtype
        assert actual.tolist() == expected_array.tolist()


@pytest.mark.parametrize("direction", ["fr-en", "en-fr"])
def test_merged_shards_are_the_tokenized_split(shards, tokenizer, direction):
    assert finish(shards, tokenizer) == [0, 1, 2, 3, 4]
    spec = dataclasses.replace(shards.spec, direction=direction)
    expected = tokenize(open_corpus(spec).split("train"), tokenizer, LONGEST)
    assert 0 < expected.dropped < 40
    merged = PreparedFolder.from_spec(spec, open_corpus(spec)).pairs(direction)
    check(merged, expected)
    check(pickle.loads(pickle.dumps(merged)), expected)
    assert len(pickle.dumps(merged)) < 1000  # whatever the size of the corpus
    assert merged.fingerprint == expected.fingerprint
    indices = np.array([5, -1, 0, 17])
    for actual, expected_array in zip(merged.batch(indices, 29, 31), expected.batch(indices, 29, 31), strict=True):
        assert (actual == expected_array).all()


def test_only_missing_shards_are_made(shards, tokenizer):
    for number in (1, 4):
        assert shards.build(number, tokenizer) == len(shards.pair_range(number))
    assert shards.missing() == [0, 2, 3]
    half = shards.folder.path / "shards" / "0000000000-0000000013.npz.tmp"
    half.write_bytes(b"PK")  # an interrupted write
    assert finish(shards, tokenizer) == [0, 2, 3]
    assert not half.exists()
    assert not half.parent.exists()


def flipped(data: bytes) -> bytes:
    """Flips actual bit of the tokens."""
    place = data.index(b"fr.tokens.npy") + 200
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda _: b"", flipped], ids=["cut off", "empty", "flipped"]
)
def test_a_damaged_shard_is_named(shards, tokenizer, damage):
    for number in shards.missing():
        shards.build(number, tokenizer)
    path = sorted((shards.folder.path / "shards").iterdir())[2]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"0000000026-0000000039.npz: damaged .* delete it"):
        shards.merge(lambda _: None)
    assert not shards.folder.complete
    path.unlink()
    assert finish(shards, tokenizer) == [2]


def test_progress_is_reported(shards, tokenizer):
    for number in shards.missing():
        shards.build(number, tokenizer)
    counts = []
    shards.merge(counts.append)
    assert sum(counts) == len(shards.array_names) * 61
    assert len(counts) == len(shards.array_names) * 5


def test_an_empty_shard_is_valid_but_an_empty_split_is_not(shards, tokenizer):
    empty = dataclasses.replace(shards, spec=dataclasses.replace(shards.spec, max_length=1))
    for number in empty.missing():
        empty.build(number, tokenizer)
    with pytest.raises(ValueError, match="none of 61 pairs is left"):
        empty.merge(lambda _: None)
    empty.delete()
    empty.build(3, tokenizer)
    assert finish(shards, tokenizer) == [0, 1, 2, 4]
    merged = shards.folder.pairs("fr-en")
    assert not {*range(39, 52)} & set(merged.positions.tolist())
    assert len(merged) > 20


def test_a_changed_file_is_found(shards, tokenizer):
    finish(shards, tokenizer)
    assert first_damaged_file(shards.folder) is None
    path = shards.folder.path / "en.tokens.npy"
    data = path.read_bytes()
    path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    assert first_damaged_file(shards.folder) == "en.tokens.npy"
    files = json.loads((shards.folder.path / "prepared.json").read_text())["files"]
    assert files["en.tokens.npy"]["sha256"] == hashlib.sha256(data).hexdigest()


def test_pairs_need_not_come_from_a_corpus(shards, tokenizer):
    listed = list(shards.pairs)
    second = dataclasses.replace(shards, pairs=LazyPairs(20, lambda indices: [listed[i] for i in indices]))
    assert second.count == 2
    second.build(1, tokenizer)
    assert second.missing() == [0]
