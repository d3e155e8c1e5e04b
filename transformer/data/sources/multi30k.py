"""Multi30k, in English, French, German and Czech, as TensorFlow Datasets builders that need no TensorFlow.

Captions of photographs and their human translations: Elliott et al. 2016 and 2017, task 1 of the WMT multimodal shared
task. Importing this module registers the builders, after which `tfds.data_source("multi30k", split="train")` works.
"""

import contextlib
import hashlib
import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from transformer.data.sources.network import connection_error
from transformer.data.sources.text_files import read_lines

LANGUAGES = ("en", "fr")
PAIRS = ("de-en", "de-fr", "cs-en", "cs-fr", "cs-de")  # the others
SPLITS = ("train", "val", "test_2016_flickr", "test_2017_flickr", "test_2017_mscoco", "test_2018_flickr")
URL = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
SHA256 = {
    "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "train.fr.gz": "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "val.fr.gz": "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
    "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "test_2016_flickr.fr.gz": "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
    "test_2017_flickr.en.gz": "76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074",
    "test_2017_flickr.fr.gz": "3ba671ceb2299f3304ffafefea7a833d08632fbaf0ba18546f8a2ec2391af496",
    "test_2017_mscoco.en.gz": "aab300bfb4427697987e02cd0aacd44bfe8aa50456231b6474c08038bbed2b58",
    "test_2017_mscoco.fr.gz": "754f3072ba9f124569ba5258b32730fc1d214bbf8e0c6dfb2b74401676220db0",
    "test_2018_flickr.en.gz": "ef4f4844037d4c5dea75c9a8ed5fd78905967a26f67c255e230cc9780032654d",
    "test_2018_flickr.fr.gz": "fb2b83fcceb937a4f7e3e93c1c51c22aba92f1e342391e6b5ba392b16a920501",
}
# Of German and Czech files the public record is torchtext's list of MD5 digests, without German test_2018_flickr. Its
# digests of the English and French files are those of the files above.
MD5 = {
    "train.de.gz": "81ff90b99829c0cd4b1b587d394afd39",
    "train.cs.gz": "d9a5fc268917725a2b0efce3a0cc8607",
    "val.de.gz": "6e0e229eb049e3fc99a1ef02fb2d5f91",
    "val.cs.gz": "83cdc082f646b769095615384cf5c0ca",
    "test_2016_flickr.de.gz": "efd67d314d98489b716b145475101932",
    "test_2016_flickr.cs.gz": "3104872229daa1bef3b401d44dd2220b",
    "test_2017_flickr.de.gz": "6a8d5c87f6ae19e3d35681aa6fd16571",
    "test_2017_mscoco.de.gz": "e8cd6ec2bc8a11fc846fa48a46e3d0bb",
}


def file_names(split: str, languages: Sequence[str] = LANGUAGES) -> tuple[str, ...]:
    """Returns the public names of the two files of a split."""
    return tuple(f"{split}.{language}.gz" for language in languages)


def splits_of(languages: Sequence[str]) -> tuple[str, ...]:
    """Returns the splits that both languages have."""
    return tuple(split for split in SPLITS if {*file_names(split, languages)} <= SHA256.keys() | MD5.keys())


def download_instructions(splits: Sequence[str], languages: Sequence[str] = LANGUAGES) -> str:
    """Returns the instructions for using `splits` without a download."""
    several = f"the .{languages[0]}.gz and .{languages[1]}.gz files of {', '.join(splits)}"
    names = several if len(splits) > 1 else " and ".join(file_names(splits[0], languages))
    return f"put {names} from {URL} into a folder and name it in data.raw_directory"


def available_splits(folder: pathlib.Path, languages: Sequence[str] = LANGUAGES) -> tuple[str, ...]:
    """Returns the splits with both files in `folder`; raises FileNotFoundError if one of the two is missing."""
    splits = []
    for split in splits_of(languages):
        present = [(folder / name).exists() for name in file_names(split, languages)]
        if all(present):
            splits.append(split)
        elif any(present):
            missing = folder / file_names(split, languages)[present.index(False)]
            reason = f"no such file, and multi30k's split {split!r} needs it"
            raise FileNotFoundError(f"{missing}: {reason}; get it from {URL}")
    return tuple(splits)


def verify_file(path: pathlib.Path, name: str) -> None:
    """Raises ValueError unless `path` has the SHA-256, or else the MD5, of the public file `name`."""
    kind, published = ("sha256", SHA256[name]) if name in SHA256 else ("md5", MD5[name])
    digest = hashlib.new(kind, path.read_bytes()).hexdigest()
    if digest != published:
        digests = f"{kind} is {digest}, published is {published}"
        raise ValueError(f"{path}: not multi30k's {name}: {digests}; get it from {URL}")


class Multi30k(tfds.core.GeneratorBasedBuilder):
    """Multi30k task 1 in English and French, raw text, in the order of the files.

    If TFDS's manual directory holds files, reads these and has only their splits; otherwise downloads all splits. Every
    file must have its published SHA-256.
    """

    languages: tuple[str, ...] = LANGUAGES

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Task 1, raw, of github.com/multi30k/dataset."}
    url_infos = None  # no checksum file of TFDS: this module verifies every file, local files included
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Optional, for machines without a network: SPLIT.en.gz and SPLIT.fr.gz from {URL}."

    def __init__(self, *, file_format: Any = None, **kwargs: Any) -> None:
        # The default of TFDS is tfrecord, which needs TensorFlow.
        super().__init__(file_format=file_format or "array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Descriptions of photographs in two of four languages. For research use.",
            features=tfds.features.Translation(languages=self.languages),
            supervised_keys=(self.languages[1], self.languages[0]),
            homepage="https://github.com/multi30k/dataset",
            citation="Elliott, Frank, Sima'an, Specia: Multi30K: Multilingual English-German Image Descriptions. 2016.",
            disable_shuffling=True,  # test sets are scored line by line
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        folder = None
        with contextlib.suppress(AssertionError):  # TFDS raises it if its manual directory is missing or empty
            folder = pathlib.Path(dl_manager.manual_dir)
        languages = self.languages
        splits = available_splits(folder, languages) if folder else ()
        if folder and splits:
            files = {name: folder / name for split in splits for name in file_names(split, languages)}
        else:
            splits = splits_of(languages)
            if reason := connection_error(f"{URL}/{file_names(splits[0], languages)[0]}"):
                remedy = download_instructions(splits, languages)
                raise ValueError(f"cannot download multi30k from {URL} ({reason}): {remedy}")
            urls = {name: f"{URL}/{name}" for split in splits for name in file_names(split, languages)}
            downloaded: Any = dl_manager.download(urls)  # annotated as a path, but has the structure of the argument
            files = {name: pathlib.Path(path) for name, path in downloaded.items()}
        for name, path in files.items():
            verify_file(path, name)
        sides = {split: [files[name] for name in file_names(split, languages)] for split in splits}
        return {split: self._generate_examples(paths) for split, paths in sides.items()}

    def _generate_examples(self, paths: list[pathlib.Path]) -> Iterator[tuple[int, dict[str, str]]]:
        sides = [read_lines(path) for path in paths]
        for number, sentences in enumerate(zip(*sides, strict=True)):
            yield number, dict(zip(self.languages, sentences, strict=True))


class Multi30kPair(Multi30k):
    """Multi30k in another pair of its languages, like `Multi30k`; some files are checked by their MD5."""

    BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name=pair) for pair in PAIRS]

    def __init__(self, *, config: str, **kwargs: Any) -> None:
        self.languages = tuple(config.split("-"))
        super().__init__(config=config, **kwargs)


def open_builder(languages: Collection[str], **options: Any) -> Multi30k:
    """Returns the builder of two languages, in any order; raises ValueError if Multi30k lacks one of them."""
    if {*languages} == {*LANGUAGES}:
        return Multi30k(**options)
    for pair in PAIRS:
        if {*pair.split("-")} == {*languages}:
            return Multi30kPair(config=pair, **options)
    raise ValueError(f"data.direction: multi30k is in English, French, German and Czech, not {' and '.join(languages)}")
