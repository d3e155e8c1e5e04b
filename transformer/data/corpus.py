"""Sentence pairs from three sources behind one interface: generated, TFDS, or parallel text files.

Nothing is normalised: a pair holds the text of its source without the line end.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Protocol

from transformer.data.lines import read_lines
from transformer.data.pairs import Pair, first
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


def open_corpus(spec: DataSpec) -> Corpus:
    """The corpus that `spec` describes; `data.direction` and `data.train_pairs` are applied to what it yields."""
    return _SOURCES[spec.source](spec)


def read_parallel(source_path: str | pathlib.Path, target_path: str | pathlib.Path) -> list[Pair]:
    """The pairs of two files of which line i of one translates line i of the other; see `read_lines`.

    Raises:
      FileNotFoundError: one of the files does not exist.
      ValueError: a file is empty, damaged or not UTF-8, or the files differ in their number of lines.
    """
    source, target = read_lines(source_path), read_lines(target_path)
    if len(source) != len(target):
        raise ValueError(
            f"{source_path} has {len(source)} lines but {target_path} has {len(target)}; "
            "line i of one must translate line i of the other"
        )
    return [Pair(*lines) for lines in zip(source, target, strict=True)]


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

    def __init__(self, spec: DataSpec) -> None:
        self._spec = spec

    def split(self, name: str) -> Sequence[Pair]:
        from transformer.data import grammar  # lazily: a lexicon and rules that the other sources do without

        if name not in grammar.SPLITS:
            raise ValueError(f"the generated corpus has no split {name!r}; it has {', '.join(grammar.SPLITS)}")
        size = self._spec.train_pairs if name == "train" else _HELD_OUT
        if size is None:  # DataSpec refuses this too
            raise ValueError("data.train_pairs: the generated corpus has no end of its own; say how many pairs to draw")
        examples = (grammar.generate(name, index) for index in range(size))
        if self._spec.source_language == "fr":
            return [Pair(example.french, example.english) for example in examples]
        return [Pair(example.english, example.french) for example in examples]


class _Files:
    """Two text files a split, found by `data.path`, plain or .gz."""

    def __init__(self, spec: DataSpec) -> None:
        self._spec = spec

    def split(self, name: str) -> Sequence[Pair]:
        languages = (self._spec.source_language, self._spec.target_language)
        pairs = read_parallel(*(self._find(name, language) for language in languages))
        return first(pairs, self._spec.train_pairs if name == self._spec.train_split else None, name)

    def _find(self, split: str, language: str) -> pathlib.Path:
        path = file_of(self._spec, split, language)
        if path.exists():
            return path
        hint = "" if path.suffix == ".gz" else ", nor with .gz"
        raise FileNotFoundError(f"{path}: no such file{hint}; data.path={self._spec.path} wants it for split {split!r}")


def _open_tfds(spec: DataSpec) -> Corpus:
    from transformer.data.tfds_corpus import TfdsCorpus  # lazily: TensorFlow Datasets is slow to import

    return TfdsCorpus(spec)


_SOURCES: dict[str, Callable[[DataSpec], Corpus]] = {"grammar": _Generated, "tfds": _open_tfds, "files": _Files}
