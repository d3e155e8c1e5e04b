"""One interface to sentence pairs of three sources, generated, TFDS, or files, and to mixtures of them.

Text is not normalised: a pair holds the text of its source without the line end.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence, Sized
from typing import Any, NamedTuple, Protocol, cast

from transformer import atomic_file, storage
from transformer.data.fingerprint import file_fingerprint, sample_fingerprint
from transformer.data.pairs import LazyPairs, Pair, first_pairs
from transformer.data.sources.generated import cached_pairs
from transformer.data.sources.mixed import MixedCorpus
from transformer.data.sources.pair_files import names_sides, read_pairs
from transformer.data.sources.text_files import LazyLines, read_lines
from transformer.local_copy import local_copy
from transformer.section import did_you_mean
from transformer.spec import COMPRESSED, DataSpec

__all__ = ["Corpus", "Pair", "open_corpus", "phenomena", "read_parallel", "split_path"]

_HELD_OUT = 1000  # pairs in each generated split other than train


class Corpus(Protocol):
    """Named splits of sentence pairs."""

    def split(self, name: str) -> Sequence[Pair]:
        """Returns the pairs of a split, in the order of the source.

        Raises:
          ValueError: the split does not exist (the message lists the existing ones), or its data are damaged.
          FileNotFoundError: the files of the split are missing.
        """
        ...

    def lazy_split(self, name: str, cache: pathlib.Path | None = None) -> LazyPairs:
        """Returns the pairs of a split as a lazy sequence, which other processes can read, too.

        Args:
          cache: an existing folder for an index of the pairs that is slow to compute.
        """
        ...

    def fingerprint(self, name: str, previous: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a fingerprint of a split that can be written as JSON; it differs if the pairs differ.

        Args:
          previous: an earlier fingerprint, or nothing; files unchanged since then are not read again.
        """
        ...


def open_corpus(spec: DataSpec, cache: pathlib.Path | None = None) -> Corpus:
    """Opens the corpus that `spec` describes, with `data.direction` and `data.train_pairs` applied.

    Args:
      cache: a folder in which generated pairs are cached; it is created if needed.
    """
    if spec.mixture:
        parts = [(part, _open_part(spec, part.corpus, cache)) for part in spec.parts]
        base = open_corpus(dataclasses.replace(spec, mixture=""), cache)
        return MixedCorpus(base, parts, spec.train_split, spec.direction)
    if spec.source == "grammar":
        return _GeneratedCorpus(spec, cache)
    if spec.source == "files":
        return _PairFileCorpus(spec) if spec.pair_file else _TextFileCorpus(spec)
    from transformer.data.sources.tfds import TfdsCorpus  # a late import: TensorFlow Datasets takes seconds

    return TfdsCorpus(spec)


def _open_part(spec: DataSpec, corpus: str, cache: pathlib.Path | None) -> Corpus:
    """Opens a part of a mixture; raises ValueError if there is no such corpus."""
    kind = "files" if "{" in corpus else corpus if corpus == "grammar" else "tfds"
    name = {"files": {"path": corpus}, "tfds": {"name": corpus}}.get(kind, {})
    try:
        return open_corpus(dataclasses.replace(spec, mixture="", source=kind, **name), cache)
    except ValueError as error:
        raise ValueError(f"data.mixture: {corpus}: {error}") from error


def read_parallel(source_path: str | pathlib.Path, target_path: str | pathlib.Path) -> list[Pair]:
    """Reads the pairs of two parallel files; line i of one translates line i of the other. See `read_lines`.

    Raises:
      FileNotFoundError: one of the files does not exist.
      ValueError: a file is empty, damaged or not UTF-8, or the numbers of lines differ.
    """
    paths = (source_path, target_path)
    sides = [read_lines(path) for path in paths]
    _check_sizes(paths, sides)
    return [Pair(*lines) for lines in zip(*sides, strict=True)]


def _check_sizes(paths: Sequence[str | pathlib.Path], sides: Sequence[Sized]) -> None:
    first, second = map(len, sides)
    if first != second:
        counts = f"{paths[0]} has {first} lines but {paths[1]} has {second}"
        raise ValueError(f"{counts}; line i of one must translate line i of the other")


def split_path(spec: DataSpec, split: str, language: str = "") -> pathlib.Path:
    """Returns the file of a split, or of one side of it, by `data.path`; a local copy if it is in a bucket.

    If there is none, the suffixes of compressed files are appended in turn.
    """
    # Not str.format: other braces are part of the path.
    path = storage.path(spec.path.replace("{split}", split).replace("{language}", language))
    candidates = (path, *(path.with_name(path.name + suffix) for suffix in COMPRESSED))
    return next((local_copy(candidate) for candidate in candidates if candidate.exists()), path)


def _existing_path(spec: DataSpec, split: str, language: str = "") -> pathlib.Path:
    """Returns the path of `split_path`; raises FileNotFoundError if there is no file."""
    path = split_path(spec, split, language)
    if not path.exists():
        hint = "" if path.suffix in COMPRESSED else f", nor with {' or '.join(COMPRESSED)}"
        raise FileNotFoundError(f"{path}: no such file{hint}; data.path={spec.path} needs it for split {split!r}")
    return path


def phenomena(split: str, size: int) -> list[frozenset[str]]:
    """Returns the phenomena in each of the first `size` pairs of a generated split; see `grammar.PHENOMENA`."""
    from transformer.data import grammar

    return [grammar.generate(split, index).tags for index in range(size)]


class _GeneratedCorpus:
    """The generated corpus: pair i of a split is a pure function of (split, i)."""

    def __init__(self, spec: DataSpec, cache: pathlib.Path | None) -> None:
        self._spec, self._cache = spec, cache

    def split(self, name: str) -> Sequence[Pair]:
        size = len(self.lazy_split(name))
        code_folder = pathlib.Path(__file__).parent / "grammar"
        french_first = LazyPairs(size, _Generator(name, from_french=True))
        pairs = cached_pairs(self._cache, name, size, code_folder, lambda: french_first)
        return pairs if self._spec.source_language == "fr" else [Pair(*reversed(pair)) for pair in pairs]

    def lazy_split(self, name: str, cache: pathlib.Path | None = None) -> LazyPairs:
        from transformer.data import grammar  # a late import: the other sources do not need the lexicon

        if name not in grammar.SPLITS:
            guess = did_you_mean(name, grammar.SPLITS)
            raise ValueError(f"the generated corpus has no split {name!r}; it has {', '.join(grammar.SPLITS)}{guess}")
        size = self._spec.train_pairs if name == "train" else _HELD_OUT
        if size is None:  # DataSpec refuses this too
            raise ValueError("data.train_pairs: the generated corpus is endless; set the number of pairs to generate")
        return LazyPairs(size, _Generator(name, self._spec.source_language == "fr"))

    def fingerprint(self, name: str, previous: Mapping[str, Any]) -> dict[str, Any]:
        return {"source": "grammar", **sample_fingerprint(self.lazy_split(name), self._spec)}


class _Generator(NamedTuple):
    """Generates the pairs of a split."""

    split: str
    from_french: bool

    def __call__(self, indices: Sequence[int]) -> list[Pair]:
        from transformer.data import grammar

        examples = [grammar.generate(self.split, index) for index in indices]
        if self.from_french:
            return [Pair(example.french, example.english) for example in examples]
        return [Pair(example.english, example.french) for example in examples]


class _TextFileCorpus:
    """Two text files for each split, found by `data.path`, plain or compressed."""

    def __init__(self, spec: DataSpec) -> None:
        self._spec, self._languages = spec, (spec.source_language, spec.target_language)

    def split(self, name: str) -> Sequence[Pair]:
        return first_pairs(read_parallel(*self._paths(name)), _limit(self._spec, name))

    def lazy_split(self, name: str, cache: pathlib.Path | None = None) -> LazyPairs:
        pairs = _lazy_pairs(self._paths(name), self._languages, cache)
        return cast(LazyPairs, first_pairs(pairs, _limit(self._spec, name)))

    def fingerprint(self, name: str, previous: Mapping[str, Any]) -> dict[str, Any]:
        return _fingerprint(dict(zip(self._languages, self._paths(name), strict=True)), previous)

    def _paths(self, name: str) -> list[pathlib.Path]:
        return [_existing_path(self._spec, name, language) for language in self._languages]


class _PairFileCorpus:
    """One TSV, TMX or PO file for each split, found by `data.path`, plain or compressed."""

    def __init__(self, spec: DataSpec) -> None:
        self._spec, self._languages = spec, (spec.source_language, spec.target_language)

    def split(self, name: str) -> Sequence[Pair]:
        return first_pairs(self._read(name), _limit(self._spec, name))

    def lazy_split(self, name: str, cache: pathlib.Path | None = None) -> LazyPairs:
        """See `Corpus`. With a folder for a cache, the sides are written there as lines; else memory holds them."""
        if cache is None:
            pairs = self._read(name)
            lazy: Sequence[Pair] = LazyPairs(len(pairs), _MemoryPairs(pairs))
        else:
            lazy = _lazy_pairs(self._lines(name, cache), self._languages, cache)
        return cast(LazyPairs, first_pairs(lazy, _limit(self._spec, name)))

    def fingerprint(self, name: str, previous: Mapping[str, Any]) -> dict[str, Any]:
        path = _existing_path(self._spec, name)
        # Without names, the languages of the columns depend on the direction, and so do the pairs.
        return _fingerprint({"pairs" if names_sides(path, *self._languages) else self._spec.direction: path}, previous)

    def _read(self, name: str) -> list[Pair]:
        return list(read_pairs(_existing_path(self._spec, name), *self._languages))

    def _lines(self, name: str, cache: pathlib.Path) -> list[pathlib.Path]:
        """Returns a file of lines for each language; writes them unless they are younger than the pairs."""
        path = _existing_path(self._spec, name)
        paths = [cache / f"lines.{language}" for language in self._languages]
        written = path.stat().st_mtime_ns
        if not all(file.exists() and file.stat().st_mtime_ns > written for file in paths):
            with atomic_file.writer(paths[0]) as source, atomic_file.writer(paths[1]) as target:
                for pair in read_pairs(path, *self._languages):
                    source.write(f"{pair.source}\n".encode())
                    target.write(f"{pair.target}\n".encode())
        return paths


def _limit(spec: DataSpec, split: str) -> int | None:
    return spec.train_pairs if split == spec.train_split else None


def _fingerprint(files: Mapping[str, pathlib.Path], previous: Mapping[str, Any]) -> dict[str, Any]:
    known = previous.get("content", {})
    return {
        "source": "files",
        "content": {key: file_fingerprint(path, known.get(key, {})) for key, path in files.items()},
    }


def _lazy_pairs(paths: Sequence[pathlib.Path], languages: Sequence[str], cache: pathlib.Path | None) -> LazyPairs:
    """Returns the pairs of two text files; `cache` is a folder for the index of their lines."""
    indices = [cache / f"lines.{language}.npy" if cache else None for language in languages]
    sides = [LazyLines(*files) for files in zip(paths, indices, strict=True)]
    _check_sizes(paths, sides)
    return LazyPairs(len(sides[0]), _LinePairs(*sides))


class _MemoryPairs(NamedTuple):
    """Reads pairs from a list."""

    pairs: list[Pair]

    def __call__(self, indices: Sequence[int]) -> list[Pair]:
        return [self.pairs[index] for index in indices]


class _LinePairs(NamedTuple):
    """Reads pairs from the lines of two files."""

    source: LazyLines
    target: LazyLines

    def __call__(self, indices: Sequence[int]) -> list[Pair]:
        return [Pair(*lines) for lines in zip(self.source.take(indices), self.target.take(indices), strict=True)]
