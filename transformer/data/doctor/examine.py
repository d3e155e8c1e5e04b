"""Examines a corpus, split by split, with all checks, or at the start of a training with the fast ones."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from transformer.data.corpus import file_of
from transformer.data.doctor import checks, duplicate_checks, file_checks, language, line_features
from transformer.data.doctor.findings import ERROR, Check, Finding, Hits, Ledger, Origin, visible, visible_pair
from transformer.data.doctor.line_features import Block, Lines, Side
from transformer.data.doctor.split import Split
from transformer.data.pairs import LazyPairs, Pair
from transformer.spec import DataSpec

# The classifier takes 0.1 ms for a line: once it was asked about so many of a side, it is asked in one block of ten.
_ASKED, _SPARSE = 50_000, 10
_SAMPLED, _STRETCH = 16_000, 1000  # pairs that the fast form looks at, and how many of them stand together


@dataclasses.dataclass(frozen=True)
class Origins:
    """Where the lines of a split come from, and where its pairs do."""

    source: Origin
    target: Origin
    pairs: Origin

    @classmethod
    def of(cls, spec: DataSpec, split: str) -> "Origins":
        """FILE:LINE for a corpus of files, SPLIT:INDEX for others."""
        languages = (spec.source_language, spec.target_language)
        if spec.source == "files":
            source, target = (Origin(str(file_of(spec, split, code))) for code in languages)
            return cls(source, target, source)
        return cls(*(Origin(split, 0, code) for code in (*languages, "")))


class Examination:
    """Looks at one split after another, and says what is wrong with each of them and with them together.

    Args:
      spec: the corpus.
      limit: how many places are kept of each kind of fault.
      fast: only the checks that each training begins with.
    """

    def __init__(self, spec: DataSpec, limit: int, fast: bool = False) -> None:
        self._spec = spec
        self._fast = fast
        self._ledger = Ledger(limit)
        self._splits: dict[str, Split] = {}
        self._origins: dict[str, Origins] = {}
        self._sizes: dict[Origin, int] = {}
        self._asked: dict[tuple[str, str], int] = {}

    def files(self, name: str) -> int:
        """Examines the two files of a split; returns the number of pairs."""
        self._origins[name] = origins = Origins.of(self._spec, name)
        sides = (origins.source, origins.target)
        streams = (self._lines(name, pathlib.Path(origin.name), origin) for origin in sides)

        def blocks() -> Iterator[tuple[Lines, Lines]]:
            for number, (source, target) in enumerate(itertools.zip_longest(*streams, fillvalue=())):
                yield self._sides(source, target, number * line_features.SIZE)

        return self._read(name, blocks())

    def pairs(self, name: str, pairs: Sequence[Pair], stretches: Iterable[slice] | None = None) -> int:
        """Examines a split that is read already, or some stretches of it; returns the number of pairs."""
        self._origins[name] = Origins.of(self._spec, name)
        whole = (slice(start, start + line_features.SIZE) for start in range(0, len(pairs), line_features.SIZE))

        def blocks() -> Iterator[tuple[Lines, Lines]]:
            for stretch in whole if stretches is None else stretches:
                part = pairs[stretch]
                yield self._sides([pair.source for pair in part], [pair.target for pair in part], stretch.start)

        return self._read(name, blocks(), sampled=stretches is not None)

    def overlaps(self) -> None:
        """Compares each split with those that were looked at after it."""
        for seen, unseen in itertools.combinations(self._splits, 2):
            for check in self._chosen(checks.OVERLAPS):
                for hits in check.find(self._splits[seen], self._splits[unseen], self._ledger.limit):
                    places = [self._splits[unseen].at(place) for place in hits.places]
                    twins = [self._splits[seen].at(twin) for twin in hits.twins]
                    self._note_shared(check, seen, unseen, dataclasses.replace(hits, places=places, twins=twins))

    def exact_overlap(self, seen: str, first: Sequence[Pair], unseen: str, second: Sequence[Pair]) -> None:
        """The same by their texts, for two splits in memory of which samples have been examined."""
        if hits := duplicate_checks.exact_overlap(first, second, self._ledger.limit):
            most = hits.count > duplicate_checks.MOST * len(second)
            name = "same-split" if most and len(second) >= duplicate_checks.FEWEST else "overlap"
            self._note_shared(next(check for check in checks.OVERLAPS if check.name == name), seen, unseen, hits)

    def findings(self) -> list[Finding]:
        """What is wrong, errors first."""
        return self._ledger.findings(self._sizes)

    def _note_shared(self, check: Check, seen: str, unseen: str, hits: Hits) -> None:
        excerpts = [f"also {self._origins[seen].pairs.at(twin)}" for twin in hits.twins]
        self._ledger.note(check, unseen, self._origins[unseen].pairs, dataclasses.replace(hits, excerpts=excerpts))

    def _chosen(self, table: Iterable[Check]) -> list[Check]:
        return [check for check in table if check.fast or not self._fast]

    def _sides(self, source: Sequence[str], target: Sequence[str], first: int) -> tuple[Lines, Lines]:
        codes = self._spec.source_language, self._spec.target_language
        return Lines(source, first, *codes), Lines(target, first, *codes[::-1])

    def _lines(self, name: str, path: pathlib.Path, origin: Origin) -> Iterator[Sequence[str]]:
        """The lines of a file, once its bytes have been looked at."""
        head = file_checks.Head.of(path)
        for check in checks.HEADS:
            if detail := check.find(head):
                self._ledger.note(check, name, origin, Hits([], 1, detail=detail))
        for raw in file_checks.batches(head) if head.readable else ():
            for check in checks.BYTES:
                if found := list(check.find(raw)):
                    places = [raw.first + index for index, _ in found]
                    self._ledger.note(check, name, origin, Hits(places, len(found), [text for _, text in found]))
            yield raw.decoded()

    def _read(self, name: str, blocks: Iterable[tuple[Lines, Lines]], sampled: bool = False) -> int:
        origins = self._origins[name]
        sides: tuple[list[Side], list[Side]] = ([], [])
        places: list[np.ndarray] = []
        for source, target in blocks:
            for lines, origin, numbers in zip((source, target), (origins.source, origins.target), sides, strict=True):
                self._look_at_lines(name, lines, origin)
                self._sizes[origin] = self._sizes.get(origin, 0) + len(lines)
                numbers.append(lines.numbers)
            self._look_at_pairs(name, source, target)
            if sampled:
                places.append(np.arange(source.first, source.first + len(source)))
        if not sides[0]:
            return 0
        split = Split(Side.joined(sides[0]), Side.joined(sides[1]), np.concatenate(places) if sampled else None)
        self._splits[name] = split
        size = min(len(split.source), len(split.target))
        self._sizes.setdefault(origins.pairs, size)
        self._look_at_whole(name, split)
        return size

    def _look_at_lines(self, name: str, lines: Lines, origin: Origin) -> None:
        for check in self._chosen(checks.LINES):
            found: list[tuple[int, int]] = list(check.find(lines))
            if found:
                shown = found[: self._ledger.limit]
                excerpts = [visible(lines.lines[index], column) for index, column in shown]
                places = [lines.first + index for index, _ in shown]
                self._ledger.note(check, name, origin, Hits(places, len(found), excerpts))
        if not self._fast:
            self._classify(name, lines)

    def _classify(self, name: str, lines: Lines) -> None:
        asked = self._asked.get((name, lines.code), 0)
        if asked < _ASKED or lines.first // line_features.SIZE % _SPARSE == 0:
            found = lines.numbers.language
            self._asked[name, lines.code] = asked + int(np.count_nonzero(found == language.UNKNOWN))
            for index, code in language.classified(lines.lines, found, lines.code, lines.other):
                found[index] = code

    def _look_at_pairs(self, name: str, source: Lines, target: Lines) -> None:
        size = min(len(source), len(target))
        if len(source) != len(target):  # where one file has ended
            source, target = self._sides(source.lines[:size], target.lines[:size], source.first)
        if not size:
            return
        trained_on = name == self._spec.train_split
        pairs = Block(source, target, self._spec.max_length if trained_on else None)
        origins = self._origins[name]
        for check in self._chosen(checks.SIDES):
            for side, origin in enumerate((origins.source, origins.target)):
                self._note_pairs(check, name, origin, pairs, check.find(pairs, side))
        for check in self._chosen(checks.PAIRS):
            self._note_pairs(check, name, origins.pairs, pairs, check.find(pairs))

    def _note_pairs(self, check: Check, name: str, origin: Origin, pairs: Block, found: Iterable[int]) -> None:
        places = list(found)
        if places:
            shown = places[: self._ledger.limit]
            excerpts = [visible_pair(pairs.source.lines[index], pairs.target.lines[index]) for index in shown]
            hits = Hits([pairs.source.first + index for index in shown], len(places), excerpts)
            self._ledger.note(check, name, origin, hits)

    def _look_at_whole(self, name: str, split: Split) -> None:
        origins = self._origins[name]
        for check in self._chosen(checks.SPLITS):
            for hits in check.find(split, self._ledger.limit):
                excerpts = hits.excerpts or [f"as {origins.pairs.at(twin)}" for twin in hits.twins]
                origin = origins.pairs if hits.side is None else (origins.source, origins.target)[hits.side]
                places = [split.at(place) for place in hits.places]
                self._ledger.note(check, name, origin, dataclasses.replace(hits, places=places, excerpts=excerpts))


def quick(training: Sequence[Pair], validation: Sequence[Pair], spec: DataSpec) -> list[Finding]:
    """The fast form, for the start of a training: two splits as they have been read, a sample where they are large.

    Opens no file and no other split. Pairs that both splits have are looked for among all pairs, unless reading a pair
    takes long.
    """
    examination = Examination(spec, limit=3, fast=True)
    names = (spec.train_split, spec.validation_split)
    for name, pairs in zip(names, (training, validation), strict=True):
        examination.pairs(name, pairs, _stretches(len(pairs)))
    if isinstance(training, LazyPairs) or isinstance(validation, LazyPairs):
        examination.overlaps()
    else:
        examination.exact_overlap(names[0], training, names[1], validation)
    return examination.findings()


def at_start(training: Sequence[Pair], validation: Sequence[Pair], spec: DataSpec) -> list[Finding]:
    """The findings of `quick`, unless `data.examine` is off.

    Raises:
      ValueError: there is an error among them, and `data.examine` is "stop"; the message says which.
    """
    findings = [] if spec.examine == "off" else quick(training, validation, spec)
    for finding in findings:
        if finding.severity == ERROR and spec.examine == "stop":
            raise ValueError(
                f"{finding.headline()}; {finding.remedy}; python -m experiments.doctor with the same --config says "
                "more, and --config.data.examine=warn trains all the same"
            )
    return findings


def _stretches(size: int) -> Iterator[slice]:
    """Stretches all over a split, the first and the last lines among them; all of it, where it is small."""
    if size <= _SAMPLED:
        yield slice(0, size)
        return
    count = _SAMPLED // _STRETCH
    for number in range(count):
        start = (size - _STRETCH) * number // (count - 1)
        yield slice(start, start + _STRETCH)
