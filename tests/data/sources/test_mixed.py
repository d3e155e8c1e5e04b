"""Mixtures: the pairs of each part, as often as its weight says, with its tag; batches depend on seed and k only."""

import pathlib
import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest

from configs.base import get_config
from transformer.data.batches.plan import BatchPlan
from transformer.data.corpus import open_corpus
from transformer.data.fingerprint import fingerprints_match
from transformer.data.pairs import Pair
from transformer.data.prepared import PreparedFolder, provenance
from transformer.data.shards import Shards
from transformer.data.token_dataset import tokenize
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import UNK, DataSpec

SIZES = {"a": 7, "b": 5}


@pytest.fixture
def spec(tmp_path: pathlib.Path) -> DataSpec:
    for name, size in SIZES.items():
        for split in ("train", "validation"):
            for language in ("de", "en"):
                lines = "".join(f"{name}{index} {split} {language}\n" for index in range(size))
                (tmp_path / f"{name}.{split}.{language}").write_text(lines)
    return mixed(tmp_path, f"{tmp_path}/a.{{split}}.{{language}} x2, {tmp_path}/b.{{split}}.{{language}} x0.6 <BT>")


def mixed(folder: pathlib.Path, mixture: str, **changes: Any) -> DataSpec:
    base = {"source": "files", "path": f"{folder}/a.{{split}}.{{language}}", "direction": "de-en", "vocab_size": 40}
    return DataSpec.from_config({**get_config().to_dict()["data"], **base, "mixture": mixture, **changes})


def test_pairs_occur_as_often_as_their_weight_says(spec: DataSpec) -> None:
    pairs = open_corpus(spec).split("train")
    expected = [Pair(f"a{i} train de", f"a{i} train en") for i in range(7)] * 2
    expected += [Pair(f"<BT> b{i} train de", f"b{i} train en") for i in (0, 1, 3)]
    assert list(pairs) == expected
    assert open_corpus(spec).split("validation")[6] == Pair("a6 validation de", "a6 validation en")
    assert len(open_corpus(spec).split("validation")) == 7


def test_a_fraction_takes_evenly_spaced_pairs_once_more(tmp_path: pathlib.Path, spec: DataSpec) -> None:
    corpus = open_corpus(mixed(tmp_path, f"{tmp_path}/b.{{split}}.{{language}} x1.4"))
    counts = Counter(pair.target for pair in corpus.split("train"))
    assert [counts[f"b{i} train en"] for i in range(5)] == [2, 1, 2, 1, 1]


def test_lazy_pairs_are_the_same_in_any_order_and_in_another_process(tmp_path: pathlib.Path, spec: DataSpec) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    lazy = pickle.loads(pickle.dumps(open_corpus(spec).lazy_split("train", cache)))
    pairs = list(open_corpus(spec).split("train"))
    order = np.random.default_rng(0).permutation(len(pairs)).tolist()
    assert list(lazy.take(order)) == [pairs[index] for index in order]
    assert list(lazy) == pairs
    assert list(open_corpus(spec).lazy_split("train", cache)) == pairs  # with the index of the cache


def test_train_pairs_limits_each_part(tmp_path: pathlib.Path, spec: DataSpec) -> None:
    corpus = open_corpus(mixed(tmp_path, spec.mixture, train_pairs=2))
    assert [pair.target[:2] for pair in corpus.split("train")] == ["a0", "a1", "a0", "a1", "b0"]


def test_a_tag_is_one_token(spec: DataSpec, tmp_path: pathlib.Path) -> None:
    pairs = list(open_corpus(spec).split("train"))
    tokenizer = Tokenizer.train(pairs, spec)
    ids = tokenizer.encode(pairs[-1].source)
    assert "<BT>" in tokenizer.pieces(ids)
    assert UNK not in ids
    assert tokenizer.decode(ids) == pairs[-1].source
    uncased = mixed(tmp_path, spec.mixture, uncased=True)
    assert "<bt>" in (lower := Tokenizer.train(pairs, uncased)).pieces(lower.encode(pairs[-1].source))


def test_batches_depend_on_the_seed_and_their_number_only(spec: DataSpec) -> None:
    pairs = open_corpus(spec).split("train")
    tokens = tokenize(pairs, Tokenizer.train(pairs, spec), spec.max_length)
    size = BatchPlan(tokens, tokens_per_batch=64, buckets=2, seed=3, row_multiple=1).batches_per_epoch()
    assert size > 1
    plans = [BatchPlan(tokens, tokens_per_batch=64, buckets=2, seed=3, row_multiple=1) for _ in range(2)]
    in_order = [plans[0].batch(k) for k in range(2 * size)]
    for k in reversed(range(2 * size)):  # no batch needs an earlier one
        assert all(np.array_equal(*sides) for sides in zip(plans[1].batch(k)[:2], in_order[k][:2], strict=True))
    rows = np.concatenate([plans[0].indices(k) for k in range(size)])
    assert sorted(rows[rows >= 0]) == list(range(len(pairs)))


def test_a_prepared_mixture_has_the_same_tokens_and_fits_one_direction(tmp_path: pathlib.Path, spec: DataSpec) -> None:
    spec = mixed(tmp_path, spec.mixture, prepared=f"{tmp_path}/prepared")
    folder, corpus = PreparedFolder(pathlib.Path(spec.prepared)), open_corpus(spec)
    folder.path.mkdir()
    shards = Shards(folder, corpus.lazy_split("train", folder.path), spec, 7)
    tokenizer = Tokenizer.train(shards.pairs, spec)
    tokenizer.save(folder.tokenizer)
    for number in shards.missing():
        pickle.loads(pickle.dumps(shards)).build(number, tokenizer)
    made = {"made_of": provenance(spec, corpus, folder), "vocabulary": tokenizer.fingerprint}
    folder.write(made | shards.merge(lambda _: None))
    folder.write(folder.manifest | {"fingerprints": shards.fingerprints()})
    prepared = PreparedFolder.from_spec(spec, open_corpus(spec)).pairs("de-en")
    assert prepared.fingerprint == tokenize(corpus.split("train"), tokenizer, spec.max_length).fingerprint
    reversed_spec = mixed(tmp_path, spec.mixture, prepared=spec.prepared, direction="en-de")
    with pytest.raises(ValueError, match="does not match this config: the corpus"):
        PreparedFolder.from_spec(reversed_spec, open_corpus(reversed_spec))


def test_the_fingerprint_depends_on_weights_tags_and_with_tags_on_the_direction(
    tmp_path: pathlib.Path, spec: DataSpec
) -> None:
    def fingerprint(mixture: str, direction: str = "de-en") -> Any:
        return open_corpus(mixed(tmp_path, mixture, direction=direction)).fingerprint("train", {})

    known = fingerprint(spec.mixture)
    assert fingerprints_match(known, open_corpus(spec).fingerprint("train", known))
    changed = [spec.mixture.replace("x2", "x3"), spec.mixture.replace("<BT>", "<B>"), spec.mixture.partition(",")[0]]
    assert not any(fingerprints_match(known, fingerprint(mixture)) for mixture in changed)
    assert not fingerprints_match(known, fingerprint(spec.mixture, "en-de"))
    untagged = spec.mixture.replace("<BT>", "")
    assert fingerprints_match(fingerprint(untagged), fingerprint(untagged, "en-de"))


def test_a_faulty_part_is_named(tmp_path: pathlib.Path, spec: DataSpec) -> None:
    with pytest.raises(
        ValueError, match=r"^data.mixture: c/\{language\}: data.path: 'c/\{language\}' has no \{split\}"
    ):
        open_corpus(mixed(tmp_path, "c/{language}"))
    with pytest.raises(ValueError, match=r"^data.mixture: grammar: data.direction: de-en, but the generated corpus is"):
        open_corpus(mixed(tmp_path, "grammar", train_pairs=3))
    with pytest.raises(ValueError, match=r"^data.mixture: multi31k: data.name: TFDS has no dataset"):
        open_corpus(mixed(tmp_path, "multi31k"))
    with pytest.raises(FileNotFoundError, match=r"c.train.de: no such file"):
        open_corpus(mixed(tmp_path, f"{tmp_path}/c.{{split}}.{{language}}")).split("train")
