"""One interface to sentence pairs of three sources: generated, TFDS, or parallel text files.

Text is not normalised: a pair holds the text of its source without the line end.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from transformer.data.fingerprint import file_fingerprint, sample_fingerprint
from transformer.data.pairs import LazyPairs, Pair, first_pairs
from transformer.data.sources.generated import cached_pairs
from transformer.data.sources.text_files import LazyLines, read_lines
from transformer.spec import DataSpec

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
          name: the split.
          cache: an existing folder for an index of the pairs that is slow to compute.
        """
        ...

    def fingerprint(self, name: str, previous: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a fingerprint of a split that can be written as JSON; it differs if the pairs differ.

        Args:
          name: the split.
          previous: an earlier fingerprint, or nothing; files unchanged since then are not read again.
        """
        ...


def open_corpus(spec: DataSpec, cache: pathlib.Path | None = None) -> Corpus:
    """Opens the corpus that `spec` describes, with `data.direction` and `data.train_pairs` applied.

    Args:
      spec: the settings.
      cache: a folder in which generated pairs are cached; it is created if needed.
    """
    return _GeneratedCorpus(spec, cache) if spec.source == "grammar" else _SOURCES[spec.source](spec)


def read_parallel(source_path: str | pathlib.Path, target_path: str | pathlib.Path) -> list[Pair]:
    """Reads the pairs of two parallel files; line i of one translates line i of the other. See `read_lines`.

    Raises:
      FileNotFoundError: one of the files does not exist.
      ValueError: a file is empty, damaged or not UTF-8, or the numbers of lines differ.
    """
    source, target = read_lines(source_path), read_lines(target_path)
    _check_sizes((source_path, len(source)), (target_path, len(target)))
    return [Pair(*lines) for lines in zip(source, target, strict=True)]


def _check_sizes(source: tuple[str | pathlib.Path, int], target: tuple[str | pathlib.Path, int]) -> None:
    if source[1] != target[1]:
        raise ValueError(
            f"{source[0]} has {source[1]} lines but {target[0]} has {target[1]}; "
            "line i of one must translate line i of the other"
        )


def split_path(spec: DataSpec, split: str, language: str) -> pathlib.Path:
    """Returns the file of one side of a split by `data.path`, with .gz appended if only that file exists."""
    # Not str.format: other braces are part of the path.
    path = pathlib.Path(spec.path.replace("{split}", split).replace("{language}", language))
    compressed = path.with_name(path.name + ".gz")
    return compressed if compressed.exists() and not path.exists() else path


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
        pairs = cached_pairs(
            self._cache, name, size, code_folder, lambda: LazyPairs(size, _Generator(name, from_french=True))
        )
        return pairs if self._spec.source_language == "fr" else [Pair(*reversed(pair)) for pair in pairs]

    def lazy_split(self, name: str, cache: pathlib.Path | None = None) -> LazyPairs:
        from transformer.data import grammar  # a late import: the other sources do not need the lexicon

        if name not in grammar.SPLITS:
            raise ValueError(f"the generated corpus has no split {name!r}; it has {', '.join(grammar.SPLITS)}")
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
    """Two text files for each split, found by `data.path`, plain or .gz."""

    def __init__(self, spec: DataSpec) -> None:
        self._spec = spec

    def split(self, name: str) -> Sequence[Pair]:
        pairs = read_parallel(*self._paths(name))
        return first_pairs(pairs, self._limit(name), name)

    def lazy_split(self, name: str, cache: pathlib.Path | None = None) -> LazyPairs:
        languages = (self._spec.source_language, self._spec.target_language)
        sides = [
            LazyLines(path, cache / f"lines.{language}.npy" if cache else None)
            for path, language in zip(self._paths(name), languages, strict=True)
        ]
        _check_sizes(*(zip(self._paths(name), map(len, sides), strict=True)))
        pairs: Sequence[Pair] = LazyPairs(len(sides[0]), _LinePairs(*sides))
        return cast(LazyPairs, first_pairs(pairs, self._limit(name), name))

    def fingerprint(self, name: str, previous: Mapping[str, Any]) -> dict[str, Any]:
        languages = (self._spec.source_language, self._spec.target_language)
        contents = {
            language: file_fingerprint(path, previous.get("content", {}).get(language, {}))
            for language, path in zip(languages, self._paths(name), strict=True)
        }
        return {"source": "files", "content": contents}

    def _limit(self, name: str) -> int | None:
        return self._spec.train_pairs if name == self._spec.train_split else None

    def _paths(self, name: str) -> list[pathlib.Path]:
        return [self._find(name, code) for code in (self._spec.source_language, self._spec.target_language)]

    def _find(self, split: str, language: str) -> pathlib.Path:
        path = split_path(self._spec, split, language)
        if path.exists():
            return path
        hint = "" if path.suffix == ".gz" else ", nor with .gz"
        raise FileNotFoundError(f"{path}: no such file{hint}; data.path={self._spec.path} needs it for split {split!r}")


class _LinePairs(NamedTuple):
    """Reads pairs from the lines of two files."""

    source: LazyLines
    target: LazyLines

    def __call__(self, indices: Sequence[int]) -> list[Pair]:
        return [Pair(*lines) for lines in zip(self.source.take(indices), self.target.take(indices), strict=True)]


def _open_tfds(spec: DataSpec) -> Corpus:
    from transformer.data.sources.tfds import TfdsCorpus  # a late import: TensorFlow Datasets takes seconds

    return TfdsCorpus(spec)


_SOURCES: dict[str, Callable[[DataSpec], Corpus]] = {"tfds": _open_tfds, "files": _TextFileCorpus}
