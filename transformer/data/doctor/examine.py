"""Examines a corpus split by split: with all checks, or with only the fast ones at the start of a training run."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from transformer.data.corpus import split_path
from transformer.data.doctor import checks, duplicate_checks, file_checks, language, line_features
from transformer.data.doctor.findings import (
    ERROR,
    CorpusCheck,
    Finding,
    FindingCollector,
    LineOrigin,
    Occurrences,
    pair_excerpt,
    visible_excerpt,
)
from transformer.data.doctor.line_features import LineBlock, PairBlock, SideFeatures
from transformer.data.doctor.split_features import SplitFeatures
from transformer.data.pairs import LazyPairs, Pair
from transformer.spec import DataSpec

# The classifier takes 0.1 ms a line. After _CLASSIFIED lines of a side, it classifies one block of _SPARSE.
_CLASSIFIED, _SPARSE = 50_000, 10
# Without lists of function words, the fast checks know the languages of so many lines of each block.
_CLASSIFIED_FAST = 64
_SAMPLED, _STRETCH = 16_000, 1000  # pairs that `fast_findings` samples from a split, in stretches of this length


@dataclasses.dataclass(frozen=True)
class SplitOrigins:
    """The origins of the source lines, the target lines and the pairs of a split."""

    source: LineOrigin
    target: LineOrigin
    pairs: LineOrigin

    @classmethod
    def from_spec(cls, spec: DataSpec, split: str) -> "SplitOrigins":
        """Returns FILE:LINE origins for a corpus with a file of lines per language, SPLIT:INDEX origins for others."""
        languages = (spec.source_language, spec.target_language)
        if spec.has_line_files:
            source, target = (LineOrigin(str(split_path(spec, split, code))) for code in languages)
            return cls(source, target, source)
        return cls(*(LineOrigin(split, 0, code) for code in (*languages, "")))


class CorpusExaminer:
    """Examines splits one after another, and compares them with each other.

    Args:
      spec: the corpus.
      limit: maximum number of locations that are kept for each kind of fault.
      fast: whether to run only the checks that run at the start of each training.
    """

    def __init__(self, spec: DataSpec, limit: int, fast: bool = False) -> None:
        self._spec = spec
        self._fast = fast
        self._collector = FindingCollector(limit)
        self._splits: dict[str, SplitFeatures] = {}
        self._origins: dict[str, SplitOrigins] = {}
        self._sizes: dict[LineOrigin, int] = {}
        self._num_classified: dict[tuple[str, str], int] = {}

    def examine_files(self, name: str) -> int:
        """Examines the two files of a split; returns the number of pairs."""
        self._origins[name] = origins = SplitOrigins.from_spec(self._spec, name)
        sides = (origins.source, origins.target)
        streams = (self._read_file(name, pathlib.Path(origin.name), origin) for origin in sides)

        def blocks() -> Iterator[tuple[LineBlock, LineBlock]]:
            for number, (source, target) in enumerate(itertools.zip_longest(*streams, fillvalue=())):
                yield self._line_blocks(source, target, number * line_features.BLOCK_SIZE)

        return self._examine_blocks(name, blocks())

    def examine_pairs(self, name: str, pairs: Sequence[Pair], stretches: Iterable[slice] | None = None) -> int:
        """Examines a split in memory, or only some stretches of it; returns the number of pairs."""
        self._origins[name] = SplitOrigins.from_spec(self._spec, name)
        size = line_features.BLOCK_SIZE
        all_blocks = (slice(start, start + size) for start in range(0, len(pairs), size))

        def blocks() -> Iterator[tuple[LineBlock, LineBlock]]:
            for stretch in all_blocks if stretches is None else stretches:
                part = pairs[stretch]
                sources, targets = [pair.source for pair in part], [pair.target for pair in part]
                yield self._line_blocks(sources, targets, stretch.start)

        return self._examine_blocks(name, blocks(), sampled=stretches is not None)

    def compare_splits(self) -> None:
        """Finds pairs, sources and targets that each split shares with splits examined after it."""
        for first, second in itertools.combinations(self._splits, 2):
            for check in self._active(checks.OVERLAPS):
                for occurrences in check.find(self._splits[first], self._splits[second], self._collector.limit):
                    indices = [self._splits[second].index_in_split(index) for index in occurrences.indices]
                    originals = [self._splits[first].index_in_split(index) for index in occurrences.duplicate_of]
                    occurrences = dataclasses.replace(occurrences, indices=indices, duplicate_of=originals)
                    self._add_overlap(check, first, second, occurrences)

    def compare_exactly(
        self, first: str, first_pairs: Sequence[Pair], second: str, second_pairs: Sequence[Pair]
    ) -> None:
        """Finds pairs that two splits in memory share, by their texts; only samples of them need be examined."""
        if occurrences := duplicate_checks.exact_overlap(first_pairs, second_pairs, self._collector.limit):
            is_same = duplicate_checks.is_same_split(occurrences.count, len(second_pairs))
            name = "same-split" if is_same else "overlap"
            check = next(check for check in checks.OVERLAPS if check.name == name)
            self._add_overlap(check, first, second, occurrences)

    def findings(self) -> list[Finding]:
        """Returns all findings, errors first."""
        return self._collector.findings(self._sizes)

    def _add_overlap(self, check: CorpusCheck, first: str, second: str, occurrences: Occurrences) -> None:
        excerpts = [f"also {self._origins[first].pairs.location(index)}" for index in occurrences.duplicate_of]
        occurrences = dataclasses.replace(occurrences, excerpts=excerpts)
        self._collector.add(check, second, self._origins[second].pairs, occurrences)

    def _active(self, table: Iterable[CorpusCheck]) -> list[CorpusCheck]:
        return [check for check in table if check.fast or not self._fast]

    def _line_blocks(self, source: Sequence[str], target: Sequence[str], start: int) -> tuple[LineBlock, LineBlock]:
        codes = self._spec.source_language, self._spec.target_language
        return LineBlock(source, start, *codes), LineBlock(target, start, *codes[::-1])

    def _read_file(self, name: str, path: pathlib.Path, origin: LineOrigin) -> Iterator[Sequence[str]]:
        """Yields the lines of a file in blocks, and checks its head and its bytes."""
        head = file_checks.FileHead.read(path)
        for check in checks.HEADS:
            if detail := check.find(head):
                self._collector.add(check, name, origin, Occurrences([], 1, detail=detail))
        for block in file_checks.read_blocks(head) if head.readable else ():
            for check in checks.BYTES:
                if faults := list(check.find(block)):
                    indices = [block.start + index for index, _ in faults]
                    excerpts = [excerpt for _, excerpt in faults]
                    self._collector.add(check, name, origin, Occurrences(indices, len(faults), excerpts))
            yield block.decoded()

    def _examine_blocks(self, name: str, blocks: Iterable[tuple[LineBlock, LineBlock]], sampled: bool = False) -> int:
        origins = self._origins[name]
        features: tuple[list[SideFeatures], list[SideFeatures]] = ([], [])
        indices: list[np.ndarray] = []
        for source, target in blocks:
            sides = zip((source, target), (origins.source, origins.target), features, strict=True)
            for lines, origin, side_features in sides:
                self._check_lines(name, lines, origin)
                self._sizes[origin] = self._sizes.get(origin, 0) + len(lines)
                side_features.append(lines.features)
            self._check_pairs(name, source, target)
            if sampled:
                indices.append(np.arange(source.start, source.start + len(source)))
        if not features[0]:
            return 0
        source_features, target_features = map(SideFeatures.concatenate, features)
        split = SplitFeatures(source_features, target_features, np.concatenate(indices) if sampled else None)
        self._splits[name] = split
        size = min(len(split.source), len(split.target))
        self._sizes.setdefault(origins.pairs, size)
        self._check_split(name, split)
        return size

    def _check_lines(self, name: str, block: LineBlock, origin: LineOrigin) -> None:
        for check in self._active(checks.LINES):
            faults: list[tuple[int, int]] = list(check.find(block))
            if faults:
                shown = faults[: self._collector.limit]
                indices = [block.start + index for index, _ in shown]
                excerpts = [visible_excerpt(block.lines[index], column) for index, column in shown]
                self._collector.add(check, name, origin, Occurrences(indices, len(faults), excerpts))
        if not self._fast:
            self._classify_languages(name, block)
        elif {block.language, block.other_language} - language.LISTED:
            part = slice(_CLASSIFIED_FAST)
            languages = block.features.languages[part]  # a view
            language.classify_unknown(block.lines[part], languages, block.language, block.other_language)

    def _classify_languages(self, name: str, block: LineBlock) -> None:
        num_classified = self._num_classified.get((name, block.language), 0)
        if num_classified < _CLASSIFIED or block.start // line_features.BLOCK_SIZE % _SPARSE == 0:
            languages = block.features.languages
            unknown = int(np.count_nonzero(languages == language.UNKNOWN))
            self._num_classified[name, block.language] = num_classified + unknown
            language.classify_unknown(block.lines, languages, block.language, block.other_language)

    def _check_pairs(self, name: str, source: LineBlock, target: LineBlock) -> None:
        size = min(len(source), len(target))
        if len(source) != len(target):  # one of the files has ended
            source, target = self._line_blocks(source.lines[:size], target.lines[:size], source.start)
        if not size:
            return
        max_length = self._spec.max_length if name == self._spec.train_split else None
        block = PairBlock(source, target, max_length)
        origins = self._origins[name]
        for check in self._active(checks.SIDES):
            for side, origin in enumerate((origins.source, origins.target)):
                self._add_pairs(check, name, origin, block, list(check.find(block, side)))
        for check in self._active(checks.PAIRS):
            self._add_pairs(check, name, origins.pairs, block, list(check.find(block)))

    def _add_pairs(
        self, check: CorpusCheck, name: str, origin: LineOrigin, block: PairBlock, faults: list[int]
    ) -> None:
        if faults:
            shown = faults[: self._collector.limit]
            excerpts = [pair_excerpt(block.source.lines[index], block.target.lines[index]) for index in shown]
            indices = [block.source.start + index for index in shown]
            self._collector.add(check, name, origin, Occurrences(indices, len(faults), excerpts))

    def _check_split(self, name: str, split: SplitFeatures) -> None:
        origins = self._origins[name]
        for check in self._active(checks.SPLITS):
            for occurrences in check.find(split, self._collector.limit):
                originals = [f"same as {origins.pairs.location(index)}" for index in occurrences.duplicate_of]
                excerpts = occurrences.excerpts or originals
                side = occurrences.side
                origin = origins.pairs if side is None else (origins.source, origins.target)[side]
                indices = [split.index_in_split(index) for index in occurrences.indices]
                occurrences = dataclasses.replace(occurrences, indices=indices, excerpts=excerpts)
                self._collector.add(check, name, origin, occurrences)


def fast_findings(training: Sequence[Pair], validation: Sequence[Pair], spec: DataSpec) -> list[Finding]:
    """Returns the findings of the fast checks on the training and validation splits, or on samples of large splits.

    Opens no files and no other splits. Searches all pairs for overlaps, unless the pairs are read lazily.
    """
    examiner = CorpusExaminer(spec, limit=3, fast=True)
    names = (spec.train_split, spec.validation_split)
    for name, pairs in zip(names, (training, validation), strict=True):
        examiner.examine_pairs(name, pairs, _stretches(len(pairs)))
    if isinstance(training, LazyPairs) or isinstance(validation, LazyPairs):
        examiner.compare_splits()
    else:
        examiner.compare_exactly(names[0], training, names[1], validation)
    return examiner.findings()


def check_at_start(training: Sequence[Pair], validation: Sequence[Pair], spec: DataSpec) -> list[Finding]:
    """Returns the findings of `fast_findings`; none if `data.examine` is "off".

    Raises:
      ValueError: one of them is an error, and `data.examine` is "stop"; the message contains the finding.
    """
    findings = [] if spec.examine == "off" else fast_findings(training, validation, spec)
    for finding in findings:
        if finding.severity == ERROR and spec.examine == "stop":
            raise ValueError(
                f"{finding.headline()}; {finding.remedy}; for details, run python -m experiments.doctor with the same "
                "--config; to train anyway, pass --config.data.examine=warn"
            )
    return findings


def _stretches(size: int) -> Iterator[slice]:
    """Yields evenly spaced stretches of a split, the first and the last included; the complete split if it is small."""
    if size <= _SAMPLED:
        yield slice(0, size)
        return
    count = _SAMPLED // _STRETCH
    for number in range(count):
        start = (size - _STRETCH) * number // (count - 1)
        yield slice(start, start + _STRETCH)
