"""The published configs of other corpora read small files of the form of theirs, and train a few steps on them."""

import gzip
import hashlib
import importlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow_datasets as tfds

from experiments.evaluate import evaluate
from experiments.runs.execute import train_and_test
from transformer.data.corpus import open_corpus
from transformer.data.sources import multi30k
from transformer.spec import Spec

SIZES = {"train": 61, "validation": 7, "test": 5}
WORDS = {"de": ("eins", "zwei", "drei", "vier", "fünf"), "en": ("one", "two", "three", "four", "five")}


def line(language: str, index: int) -> str:
    return " ".join(WORDS[language][(index * 3 + place) % 5] for place in range(2 + index % 4)).capitalize() + "."


class StandIn(tfds.core.GeneratorBasedBuilder):
    """German and English sentences, prepared as TFDS prepares its translation datasets."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.Translation(languages=("de", "en"))
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("de", "en"))

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(size) for split, size in SIZES.items()}

    def _generate_examples(self, size: int) -> Iterator[tuple[int, dict[str, str]]]:
        for index in range(size):
            yield index, {language: line(language, index) for language in ("de", "en")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with wmt14_translate and wmt17_translate of TFDS, and the files of IWSLT 2014."""
    folder = tmp_path_factory.mktemp("data")
    StandIn(data_dir=folder, file_format="array_record").download_and_prepare()
    for name in ("wmt14_translate", "wmt17_translate"):
        target = folder / name / "de-en" / "1.0.0"
        target.mkdir(parents=True)
        for path in (folder / "stand_in" / "1.0.0").iterdir():
            data = path.read_bytes()
            if path.suffix == ".json":
                data = data.replace(b"stand_in", name.encode())
            (target / path.name.replace("stand_in", name)).write_bytes(data)
    for split, size in (("train", 61), ("valid", 7), ("test", 5)):
        for language in ("de", "en"):
            lines = "".join(f"{line(language, index).lower()}\n" for index in range(size))
            (folder / f"{split}.{language}").write_text(lines)
    return folder


@pytest.fixture
def images(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder with Multi30k's files in German and English."""
    for split, size in (("train", 61), ("val", 7), ("test_2016_flickr", 5)):
        for language in ("de", "en"):
            data = gzip.compress("".join(f"{line(language, index)}\n" for index in range(size)).encode())
            name = f"{split}.{language}.gz"
            (tmp_path / name).write_bytes(data)
            table, kind = (multi30k.SHA256, "sha256") if name in multi30k.SHA256 else (multi30k.MD5, "md5")
            monkeypatch.setitem(table, name, hashlib.new(kind, data).hexdigest())
    return tmp_path


CONFIGS = {
    "wmt14_en_de:base": ("en-de", 61),
    "wmt14_en_de:big": ("en-de", 61),
    "iwslt14_de_en:fairseq": ("de-en", 61),
    "iwslt14_de_en:simcut": ("de-en", 61),
    "algoperf_wmt": ("de-en", 61),
    "multi30k:improved": ("en-de", 61),
    "multi30k:published": ("de-en", 61),
}


def small(name: str, folder: pathlib.Path, images: pathlib.Path, **changes: Any) -> Spec:
    """Returns a config at a size that trains in seconds, on the small files; its form is unchanged."""
    module, _, argument = name.partition(":")
    get_config = importlib.import_module(f"configs.{module}").get_config
    config = get_config(argument) if argument else get_config()
    heads = config.model.heads
    sizes = {
        "model.d_model": 2 * heads, "model.d_ff": 12, "model.encoder_layers": 1, "model.decoder_layers": 1,
        "data.vocab_size": 40, "data.tokens_per_batch": 257, "data.buckets": 1,
        "data.prepared": "", "data.directory": str(folder), "train.steps": 4, "train.average_checkpoints": 1,
        "evaluate.every": 4, "evaluate.sentences": 3, "decode.max_extra_length": 5, "checkpoint.every": 4,
    }  # fmt: skip
    if config.data.packed_width:
        sizes |= {"data.packed_width": 31, "data.max_length": 31}
    if module == "iwslt14_de_en":
        sizes |= {"data.path": f"{folder}/{{split}}.{{language}}", "data.train_pairs": None}
    if module == "multi30k":
        sizes |= {"data.raw_directory": str(images), "data.directory": str(images / "tfds")}
        sizes |= {"data.direction": CONFIGS[name][0]}
    config.update_from_flattened_dict(sizes | changes)
    return Spec.from_config(config.to_dict())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_corpus_has_the_languages_and_splits(name: str, folder: pathlib.Path, images: pathlib.Path) -> None:
    data = small(name, folder, images).data
    direction, size = CONFIGS[name]
    assert data.direction == direction
    corpus = open_corpus(data)
    splits = {split: corpus.split(split) for split in (data.train_split, data.validation_split, data.test_split)}
    assert [len(pairs) for pairs in splits.values()] == [size, 7, 5]
    expected = {tuple(line(language, index).lower() for language in direction.split("-")) for index in range(size)}
    assert {tuple(text.lower() for text in pair) for pair in splits[data.train_split]} == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_it_trains_and_is_scored(name: str, folder: pathlib.Path, images: pathlib.Path, tmp_path: pathlib.Path) -> None:
    spec = small(name, folder, images)
    train_and_test(spec, str(tmp_path / "run"))
    events = [json.loads(text) for text in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {event["step"] for event in events} == {4}
    scores = evaluate([str(tmp_path / "run")], None, None, None, None)
    assert scores["sentences"] == 5
    assert ("bleu_compound" in scores) == (spec.data.target_language == "de")
