import pytest
import tensorflow_datasets as tfds

from configs.base import get_config
from transformer.data.corpus import Corpus, Pair, open_corpus
from transformer.spec import DataSpec


def open_in(folder, name: str, **changes) -> Corpus:
    where = {"source": "tfds", "name": name, "directory": str(folder), **changes}
    return open_corpus(DataSpec.from_config({**get_config().to_dict()["data"], **where}))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("multi31k", "data.name: TFDS has no dataset 'multi31k'; it has, for example, multi30k"),
        ("wmt14_translate/fr-de", "data.name: TFDS cannot open 'wmt14_translate/fr-de'"),
        ("wmt14_translate/de-en", "data.name: wmt14_translate/de-en/1.0.0 has the features de, en, not fr and en"),
    ],
)
def test_a_dataset_that_does_not_fit_is_named(tmp_path, name, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_in(tmp_path, name)
    assert "\n" not in str(caught.value)


def test_without_a_home_the_folder_must_be_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tensorflow_datasets.core.utils.file_utils.constants.DATA_DIR", "~/tensorflow_datasets")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^data\.directory: ~/tensorflow_datasets/.*name a folder$"):
        open_in("", "multi30k")
    assert list(tmp_path.iterdir()) == []


def test_a_wmt_download_that_cannot_work_lists_its_files(tmp_path, monkeypatch):
    pytest.importorskip("importlib_resources")  # TFDS needs it to find its checksums, and does not say so
    monkeypatch.setattr("transformer.data.sources.tfds.connection_error", lambda url: "no network")
    with pytest.raises(ValueError, match=r"cannot download wmt14_translate/fr-en/1.0.0: .*giga-fren.tar, dev.tgz into"):
        open_in(tmp_path, "wmt14_translate/fr-en").split("train")


class TinyTranslation(tfds.core.GeneratorBasedBuilder):
    """A dataset as TFDS has them: shuffled, two splits, more features than wanted."""

    VERSION = tfds.core.Version("2.0.0")
    url_infos = None

    def _info(self):
        text = tfds.features.Text()
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict({"fr": text, "id": text, "en": text})
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(41), "test": self._generate_examples(3)}

    def _generate_examples(self, size):
        for i in range(size):
            yield i, {"fr": f"été {i}", "en": f"summer {i}", "id": str(i)}


def test_any_dataset_of_the_two_languages_is_read(tmp_path):
    corpus = open_in(tmp_path, "tiny_translation")
    pairs = corpus.split("train")
    assert sorted(pairs) == sorted(Pair(f"été {i}", f"summer {i}") for i in range(41))
    assert (
        list(pairs) == [pairs[i] for i in range(41)] == list(open_in(tmp_path, "tiny_translation:2.0.0").split("train"))
    )
    assert pairs[-1] == pairs[40]
    assert [len(corpus.split(name)) for name in ("test", "train[:7]", "train[30:]")] == [3, 7, 11]
    few = open_in(tmp_path, "tiny_translation", direction="en-fr", train_pairs=5).split("train")
    assert list(few) == [Pair(pair.target, pair.source) for pair in pairs[:5]]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("valid", "tiny_translation/2.0.0 has no split 'valid'; it has train, test"),
        ("train[:x%]", r"tiny_translation/2.0.0: split 'train\[:x%\]': "),
    ],
)
def test_a_split_that_is_not_there_is_named(tmp_path, split, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_in(tmp_path, "tiny_translation").split(split)
    assert "\n" not in str(caught.value)


def test_data_in_another_format_is_refused(tmp_path):
    open_in(tmp_path, "tiny_translation").split("test")
    info = tmp_path / "tiny_translation/2.0.0/dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(ValueError, match=r"data.directory: tiny_translation is prepared there in a format other"):
        open_in(tmp_path, "tiny_translation").split("test")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match=r"data.directory: cannot write to .*/file/tiny_translation \(Not a directory\)"
    ):
        open_in(tmp_path / "file", "tiny_translation").split("test")
