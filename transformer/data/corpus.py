"""Sentence pairs from three sources behind one interface: generated, TFDS, or parallel text files.

Nothing is normalised: a pair holds the text of its source without the line end.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from transformer.data.fingerprint import content_of, excerpt
from transformer.data.pairs import LazyPairs, Pair, first
from transformer.data.sources.generated import kept
from transformer.data.sources.text_files import LazyLines, read_lines
from transformer.spec import DataSpec

__all__ = ["Corpus", "Pair", "file_of", "open_corpus", "phenomena", "read_parallel"]

_HELD_OUT = 1000  # pairs in each generated split other than train


class Corpus(Protocol):
    """Named splits of sentence pairs."""

    def split(self, name: str) -> Sequence[Pair]:
        """The pairs of a split, in the source's order.

        Raises:
          ValueError: there is no such split (the message names those there are), or its data are faulty.
          FileNotFoundError: the split's files are missing.
        """
        ...

    def lazily(self, name: str, places: pathlib.Path | None = None) -> LazyPairs:
        """The same pairs, made when asked for, and to be made in other processes, too.

        Args:
          name: of the split.
          places: an existing folder that may keep what it takes long to find out, for the next time.
        """
        ...

    def identity(self, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
        """What a split is made of, found out without reading all of it: of other pairs it is another; for JSON.

        Args:
          name: of the split.
          known: an earlier answer, or nothing; the content of a file that is as it was then is not looked at again.
        """
        ...


def open_corpus(spec: DataSpec, cache: pathlib.Path | None = None) -> Corpus:
    """The corpus that `spec` describes; `data.direction` and `data.train_pairs` are applied to what it yields.

    Args:
      spec: the settings.
      cache: a folder, which need not exist, where generated pairs are kept for the next time.
    """
    return _Generated(spec, cache) if spec.source == "grammar" else _SOURCES[spec.source](spec)


def read_parallel(source_path: str | pathlib.Path, target_path: str | pathlib.Path) -> list[Pair]:
    """The pairs of two files of which line i of one translates line i of the other; see `read_lines`.

    Raises:
      FileNotFoundError: one of the files does not exist.
      ValueError: a file is empty, damaged or not UTF-8, or the files differ in their number of lines.
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


def file_of(spec: DataSpec, split: str, language: str) -> pathlib.Path:
    """The file of one side of a split by `data.path`: the one with .gz after its name, if only that exists."""
    # Not str.format: any other brace in a path is just a character.
    path = pathlib.Path(spec.path.replace("{split}", split).replace("{language}", language))
    compressed = path.with_name(path.name + ".gz")
    return compressed if compressed.exists() and not path.exists() else path


def phenomena(split: str, size: int) -> list[frozenset[str]]:
    """What each of the first pairs of a split of the generated corpus is an example of; see `grammar.PHENOMENA`."""
    from transformer.data import grammar

    return [grammar.generate(split, index).tags for index in range(size)]


class _Generated:
    """The built-in grammar: pair i of a split is a pure function of (split, i)."""

    def __init__(self, spec: DataSpec, cache: pathlib.Path | None) -> None:
        self._spec, self._cache = spec, cache

    def split(self, name: str) -> Sequence[Pair]:
        size = len(self.lazily(name))
        makers = pathlib.Path(__file__).parent / "grammar"
        pairs = kept(self._cache, name, size, makers, lambda: LazyPairs(size, _Generator(name, from_french=True)))
        return pairs if self._spec.source_language == "fr" else [Pair(*reversed(pair)) for pair in pairs]

    def lazily(self, name: str, places: pathlib.Path | None = None) -> LazyPairs:
        from transformer.data import grammar  # lazily: a lexicon and rules that the other sources do without

        if name not in grammar.SPLITS:
            raise ValueError(f"the generated corpus has no split {name!r}; it has {', '.join(grammar.SPLITS)}")
        size = self._spec.train_pairs if name == "train" else _HELD_OUT
        if size is None:  # DataSpec refuses this too
            raise ValueError("data.train_pairs: the generated corpus has no end of its own; say how many pairs to draw")
        return LazyPairs(size, _Generator(name, self._spec.source_language == "fr"))

    def identity(self, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
        return {"source": "grammar", **excerpt(self.lazily(name), self._spec)}


class _Generator(NamedTuple):
    """Makes pairs of a split of the generated corpus."""

    split: str
    from_french: bool

    def __call__(self, indices: Sequence[int]) -> list[Pair]:
        from transformer.data import grammar

        examples = [grammar.generate(self.split, index) for index in indices]
        if self.from_french:
            return [Pair(example.french, example.english) for example in examples]
        return [Pair(example.english, example.french) for example in examples]


class _Files:
    """Two text files a split, found by `data.path`, plain or .gz."""

    def __init__(self, spec: DataSpec) -> None:
        self._spec = spec

    def split(self, name: str) -> Sequence[Pair]:
        pairs = read_parallel(*self._paths(name))
        return first(pairs, self._limit(name), name)

    def lazily(self, name: str, places: pathlib.Path | None = None) -> LazyPairs:
        languages = (self._spec.source_language, self._spec.target_language)
        sides = [
            LazyLines(path, places / f"lines.{language}.npy" if places else None)
            for path, language in zip(self._paths(name), languages, strict=True)
        ]
        _check_sizes(*(zip(self._paths(name), map(len, sides), strict=True)))
        pairs: Sequence[Pair] = LazyPairs(len(sides[0]), _Lines(*sides))
        return cast(LazyPairs, first(pairs, self._limit(name), name))

    def identity(self, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
        languages = (self._spec.source_language, self._spec.target_language)
        contents = {
            language: content_of(path, known.get("content", {}).get(language, {}))
            for language, path in zip(languages, self._paths(name), strict=True)
        }
        return {"source": "files", "content": contents}

    def _limit(self, name: str) -> int | None:
        return self._spec.train_pairs if name == self._spec.train_split else None

    def _paths(self, name: str) -> list[pathlib.Path]:
        return [self._find(name, code) for code in (self._spec.source_language, self._spec.target_language)]

    def _find(self, split: str, language: str) -> pathlib.Path:
        path = file_of(self._spec, split, language)
        if path.exists():
            return path
        hint = "" if path.suffix == ".gz" else ", nor with .gz"
        raise FileNotFoundError(f"{path}: no such file{hint}; data.path={self._spec.path} wants it for split {split!r}")


class _Lines(NamedTuple):
    """Makes pairs of the lines of two files."""

    source: LazyLines
    target: LazyLines

    def __call__(self, indices: Sequence[int]) -> list[Pair]:
        return [Pair(*lines) for lines in zip(self.source.at(indices), self.target.at(indices), strict=True)]


def _open_tfds(spec: DataSpec) -> Corpus:
    from transformer.data.sources.tfds import TfdsCorpus  # lazily: TensorFlow Datasets is slow to import

    return TfdsCorpus(spec)


_SOURCES: dict[str, Callable[[DataSpec], Corpus]] = {"tfds": _open_tfds, "files": _Files}
