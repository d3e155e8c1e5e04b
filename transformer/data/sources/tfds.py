"""Corpora of TensorFlow Datasets, read from array_record files like `tfds.data_source`, without TensorFlow."""

import contextlib
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import filelock
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.registered import DatasetNotFoundError

from transformer import storage
from transformer.data.fingerprint import sample_fingerprint
from transformer.data.pairs import LazyPairs, Pair, first_pairs
from transformer.data.sources import multi30k
from transformer.data.sources.network import connection_error
from transformer.local_copy import local_copy
from transformer.section import did_you_mean
from transformer.spec import DataSpec

_NAMES_SHOWN = 8  # file names in an error message
# The public files are named val; most of TFDS and the default of this codebase use validation.
_MULTI30K_ALIASES = {"validation": "val"}


class TfdsCorpus:
    """A TFDS dataset whose features are language codes, downloaded and prepared on first access to a split."""

    def __init__(self, spec: DataSpec) -> None:
        """Finds the builder; raises ValueError if there is none for this language pair, or no folder for it."""
        self._spec = spec
        self._builder = _builder(spec)
        folder = str(self._builder.data_dir)
        if folder.startswith("~"):  # TFDS would create a folder of this name in the working folder
            raise ValueError(f"data.directory: {folder} is in no home folder, for this user has none; name a folder")
        languages = [str(name) for name in cast(Any, self._builder.info.features or ())]
        if not {spec.source_language, spec.target_language} <= set(languages):
            raise ValueError(
                f"data.name: {self._builder.info.full_name} has the features {', '.join(languages)}, "
                f"not {spec.source_language} and {spec.target_language} of data.direction={spec.direction}"
            )

    def split(self, name: str) -> Sequence[Pair]:
        """Returns the pairs of a split, or of a TFDS slice such as "train[:1%]"."""
        pairs = self.lazy_split(name)
        # Decoding a record takes 60 µs, and training reads each pair twice; this dataset fits into memory.
        return list(pairs) if self._multi30k_languages else pairs

    def lazy_split(self, name: str, cache: pathlib.Path | None = None) -> LazyPairs:
        """Returns the same pairs as a lazy sequence."""
        base, bracket, part = name.partition("[")
        if languages := self._multi30k_languages:
            base = _MULTI30K_ALIASES.get(base, base)
            splits = multi30k.splits_of(languages)
            if base not in splits:
                guess = did_you_mean(base, splits)
                raise ValueError(f"multi30k has no split {base!r}; it has {', '.join(splits)}{guess}")
        if not self._is_ready(base):
            with _one_at_a_time(pathlib.Path(self._builder.data_path)):
                self._builder = _builder(self._spec)  # another process may have prepared it in the meantime
                if not self._is_ready(base):
                    self._prepare(base)
        known = self._builder.info.splits
        if base not in known:
            hint = f": {multi30k.download_instructions((base,), languages)}" if languages else ""
            raise ValueError(f"{self._builder.info.full_name} has no split {base!r}; it has {', '.join(known)}{hint}")
        records = _Records(self._spec, base + bracket + part, self._builder)
        limit = self._spec.train_pairs if name == self._spec.train_split else None
        return cast(LazyPairs, first_pairs(LazyPairs(len(records), records), limit))

    def fingerprint(self, name: str, previous: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the dataset's name and version, and the hash of a sample of its pairs."""
        pairs = self.lazy_split(name)
        return {"source": "tfds", "name": self._builder.info.full_name, **sample_fingerprint(pairs, self._spec)}

    @property
    def _multi30k_languages(self) -> tuple[str, ...]:
        """The languages of Multi30k's builder; empty for other datasets."""
        return self._builder.languages if isinstance(self._builder, multi30k.Multi30k) else ()

    def _is_ready(self, split: str) -> bool:
        """Returns whether the split is prepared; multi30k, unlike others, may be prepared without some splits."""
        prepared = pathlib.Path(self._builder.data_path).exists()
        return prepared and (split in self._builder.info.splits or not self._multi30k_languages)

    def _prepare(self, split: str) -> None:
        """Downloads and converts the dataset; raises ValueError or FileNotFoundError with a remedy."""
        raw = pathlib.Path(self._spec.raw_directory) if self._spec.raw_directory else None
        if raw and not raw.is_dir():
            raise FileNotFoundError(f"data.raw_directory: {raw}: no such folder")
        prepared = list(self._builder.info.splits) if pathlib.Path(self._builder.data_path).exists() else []
        mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS if prepared else tfds.GenerateMode.REUSE_DATASET_IF_EXISTS
        config = tfds.download.DownloadConfig(manual_dir=raw, download_mode=mode, try_download_gcs=False)
        name = self._builder.info.full_name
        try:
            if languages := self._multi30k_languages:
                _check_multi30k(raw, split, prepared, languages)
                tfds.disable_progress_bar()  # preparation takes a second
            else:
                _check_network(self._builder, raw)
            with contextlib.redirect_stdout(sys.stderr):  # TFDS prints to stdout, which belongs to the program
                self._builder.download_and_prepare(download_config=config)
        except ImportError as error:
            hint = f"({_one_line(error)}); its own translation datasets also need tensorflow"
            raise ValueError(f"data.name: TFDS lacks a package to prepare {name} {hint}") from error
        except (ValueError, FileNotFoundError):
            raise
        except (OSError, RuntimeError, AssertionError, tfds.download.DownloadError, NonMatchingChecksumError) as error:
            raise ValueError(f"cannot prepare {name}: {_one_line(error)}") from error
        self._builder = _builder(self._spec)


class _Records:
    """Reads pairs from the records of a split; when unpickled, another process opens the dataset itself."""

    def __init__(self, spec: DataSpec, split: str, builder: Any = None) -> None:
        self._spec, self._split = spec, split
        builder = builder or _builder(spec)
        try:
            self._records = builder.as_data_source(split=split)
        except ValueError as error:
            raise ValueError(f"{builder.info.full_name}: split {split!r}: {_one_line(error)}") from error

    def __len__(self) -> int:
        return len(self._records)

    def __call__(self, indices: Sequence[int]) -> list[Pair]:
        sides = (self._spec.source_language, self._spec.target_language)
        records = self._records.__getitems__(list(indices))
        return [Pair(*(record[side].decode() for side in sides)) for record in records]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._spec, self._split)


def _builder(spec: DataSpec) -> tfds.core.DatasetBuilder:
    options = {"data_dir": _directory(spec), "file_format": "array_record"}
    if re.fullmatch(r"multi30k(:\d.*)?", spec.name):
        return multi30k.open_builder(spec.languages, **options)
    import tensorflow_datasets.translate  # noqa: F401  (registers the WMT builders)

    try:
        return tfds.builder(spec.name, **options)
    except DatasetNotFoundError as error:  # its message lists all datasets
        examples = "it has, for example, multi30k and wmt14_translate/fr-en"
        raise ValueError(f"data.name: TFDS has no dataset {spec.name!r}; {examples}") from error
    except (ValueError, ImportError) as error:
        if "File format is already set" in str(error):
            raise ValueError(
                f"data.directory: {spec.name} is prepared there in a format other than array_record, which needs "
                "TensorFlow to read; name another folder"
            ) from error
        raise ValueError(f"data.name: TFDS cannot open {spec.name!r}: {_one_line(error)}") from error


def _directory(spec: DataSpec) -> str | pathlib.Path | None:
    """Returns the folder of datasets, None for TFDS's own; if it is in a bucket, one with a copy of `data.name`.

    Raises:
      FileNotFoundError: the bucket does not have the dataset.
    """
    folder = storage.path(spec.directory)
    if not storage.in_bucket(folder):
        return spec.directory or None
    dataset = folder / re.split("[:/]", spec.name)[0]
    if not dataset.exists():
        raise FileNotFoundError(f"data.directory: {dataset} does not exist; prepare the dataset on disk, and copy it")
    return local_copy(dataset).parent


def _check_multi30k(raw: pathlib.Path | None, split: str, prepared: list[str], languages: tuple[str, ...]) -> None:
    """Raises if `raw` is given and lacks files of `split` or of a prepared split, which is prepared again."""
    if raw is None:
        return
    available = multi30k.available_splits(raw, languages)
    if split not in available:
        remedy = f"put {' and '.join(multi30k.file_names(split, languages))} from {multi30k.URL} there"
        raise FileNotFoundError(f"data.raw_directory: {raw} has no files of split {split!r}: {remedy}")
    if lost := [name for name in prepared if name not in available]:
        raise ValueError(
            f"data.raw_directory: {raw} has no files of {', '.join(lost)}, which is prepared already; "
            "put the files of all splits into one folder, or name another data.directory"
        )


def _check_network(builder: tfds.core.DatasetBuilder, raw: pathlib.Path | None) -> None:
    """Raises ValueError if a file must be downloaded and its server does not answer (TFDS retries for minutes)."""
    downloads = pathlib.Path(builder.data_dir_root) / "downloads"
    infos = (json.loads(path.read_text(encoding="utf-8")) for path in downloads.glob("*.INFO"))
    cached = {url for info in infos for url in info.get("urls", ())}
    missing = {url: name for url, name in _downloads_of(builder).items() if url not in cached}
    manual = raw or downloads / "manual"
    missing = {url: name for url, name in missing.items() if not (manual / name).exists()}
    url, names = next(iter(missing), None), list(missing.values())
    if url and (reason := connection_error(url)):
        more = f" and {len(names) - _NAMES_SHOWN} more files" if len(names) > _NAMES_SHOWN else ""
        raise ValueError(
            f"cannot download {builder.info.full_name}: {url} does not answer ({reason}); "
            f"put {', '.join(names[:_NAMES_SHOWN])}{more} into a folder and name it in data.raw_directory"
        )


def _downloads_of(builder: tfds.core.DatasetBuilder) -> dict[str, str]:
    """Returns URL → file name of a builder's downloads, as far as is known without running it."""
    names = {url: info.filename or url for url, info in (builder.url_infos or {}).items()}
    subsets = getattr(builder, "subsets", None)
    if subsets is None:
        return names
    # The checksums of a WMT builder cover all language pairs; its tables list the files of one pair.
    from tensorflow_datasets.translate.wmt import DATASET_MAP

    language = cast(Any, builder.builder_config).language_pair[0]
    urls = [url for parts in subsets.values() for part in parts for url in DATASET_MAP[part].get_url(language)]
    return {url: names.get(url, url.rpartition("/")[2]) for url in urls}


@contextlib.contextmanager
def _one_at_a_time(data_path: pathlib.Path) -> Iterator[None]:
    """Lets one process of a machine at a time prepare a dataset: TFDS fails if two finish the same one."""
    folder = data_path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        lock.acquire()
    except OSError as error:
        raise ValueError(f"data.directory: cannot write to {folder} ({error.strerror}); name another folder") from error
    try:
        yield
    finally:
        lock.release()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
