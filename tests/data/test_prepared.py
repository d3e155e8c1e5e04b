import dataclasses
import json
import os
import pathlib

import pytest

from configs.base import get_config
from transformer.data.corpus import open_corpus
from transformer.data.prepared import FORMAT, PreparedFolder, provenance
from transformer.data.shards import Shards
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import DataSpec

TEXTS = [f"mot {number}" for number in range(17)]


@pytest.fixture
def spec(tmp_path: pathlib.Path) -> DataSpec:
    """Settings of a corpus of two files with 17 pairs, and of a complete prepared folder."""
    for language in ("fr", "en"):
        (tmp_path / f"train.{language}").write_text("".join(f"{text} {language}\n" for text in TEXTS))
    changes = {"source": "files", "path": f"{tmp_path}/{{split}}.{{language}}", "prepared": f"{tmp_path}/prepared"}
    spec = DataSpec.from_config({**get_config().to_dict()["data"], **changes, "vocab_size": 29})
    folder, corpus = PreparedFolder(pathlib.Path(spec.prepared)), open_corpus(spec)
    folder.path.mkdir()
    shards = Shards(folder, corpus.lazy_split("train"), spec, 99)
    tokenizer = Tokenizer.train(shards.pairs, spec)
    tokenizer.save(folder.tokenizer)
    shards.build(0, tokenizer)
    folder.write(
        {
            "made_of": provenance(spec, corpus, folder),
            "vocabulary": tokenizer.fingerprint,
            **shards.merge(lambda _: None),
        }
    )
    folder.write(folder.manifest | {"fingerprints": shards.fingerprints()})
    return spec


def opened(spec: DataSpec) -> PreparedFolder:
    return PreparedFolder.from_spec(spec, open_corpus(spec))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 30}, r"data.vocab_size \(folder: 29, config: 30\)"),
        ({"tokenizer": "unigram"}, r"data.tokenizer \(folder: 'bpe', config: 'unigram'\)"),
        ({"max_length": 50, "vocab_sentences": 9}, r"data.max_length .*, data.vocab_sentences \(folder: 4000000, "),
        ({"train_pairs": 5}, r"data.train_pairs \(folder: None, config: 5\)"),
    ],
)
def test_other_settings_are_named(spec, changes, message):
    assert opened(dataclasses.replace(spec, direction="en-fr", tokens_per_batch=999)).complete
    with pytest.raises(ValueError, match=f"data.prepared: .*prepared does not match this config: {message}"):
        opened(dataclasses.replace(spec, **changes))


def test_another_corpus_is_refused(spec, tmp_path):
    os.utime(tmp_path / "train.fr", (1, 1))
    assert opened(spec).complete  # a new modification time, the same content
    (tmp_path / "train.fr").write_text((tmp_path / "train.fr").read_text().replace("mot 7", "mat 7"))
    with pytest.raises(ValueError, match=r"does not match this config: the corpus; name another folder"):
        opened(spec)


def test_an_incomplete_folder_is_refused_with_the_command(spec, tmp_path):
    with pytest.raises(ValueError, match=r"none does not hold .*there is none.*experiments.prepare"):
        opened(dataclasses.replace(spec, prepared=f"{tmp_path}/none"))
    folder = opened(spec)
    folder.write({"made_of": folder.manifest["made_of"]})
    with pytest.raises(ValueError, match=r"interrupted.*experiments.prepare with the same --config"):
        opened(spec)


def test_a_missing_and_a_shortened_file_are_named(spec):
    path = opened(spec).path / "fr.tokens.npy"
    size = path.stat().st_size
    os.truncate(path, size - 2)
    with pytest.raises(ValueError, match=rf"fr.tokens.npy has {size - 2} bytes of {size}; delete the folder"):
        opened(spec)
    path.unlink()
    with pytest.raises(ValueError, match=r"fr.tokens.npy is missing"):
        opened(spec)


def test_a_damaged_or_foreign_manifest_is_named(spec, tmp_path):
    path = opened(spec).path / "prepared.json"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=r"prepared.json: damaged .*; delete the folder and prepare it again"):
        opened(spec)
    path.write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(ValueError, match=rf"prepared.json: format {FORMAT + 1}, not {FORMAT}"):
        opened(spec)
    path.unlink()
    with pytest.raises(ValueError, match=r"data.prepared: .*prepared holds other files"):
        PreparedFolder(path.parent).check({})


def test_another_vocabulary_in_the_folder_is_found(spec):
    folder = opened(spec)
    assert folder.load_tokenizer().vocab_size == 29
    Tokenizer.train_from_texts(TEXTS[:9], 17, "bpe").save(folder.tokenizer)
    with pytest.raises(ValueError, match=r"tokenizer.model is not the vocabulary that .*prepared was prepared with"):
        folder.load_tokenizer()
