"""Writes repaired copies of parallel files: repairs what can be repaired, and omits pairs that are not translations.

The originals are only read. Pairs are omitted only from the training split, and references, which are the targets of
the other splits, keep their text: scores on other sentences or references cannot be compared with other work.
"""

import collections
import contextlib
import dataclasses
import gzip
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, cast

import numpy as np

from transformer.data.doctor import checks, file_checks, language
from transformer.data.doctor.character_checks import repaired_line
from transformer.data.doctor.examine import SplitOrigins
from transformer.data.doctor.findings import ERROR, CorpusCheck, Finding
from transformer.data.doctor.line_features import LineBlock, PairBlock
from transformer.data.doctor.split_features import SplitFeatures
from transformer.data.sources import compression
from transformer.spec import DataSpec

# Characters of French and English text. Any other character shows that a line is not Windows-1252.
_FRENCH = re.compile("[\x00-\x7fàâäæçèéêëîïôöœùûüÿÀÂÄÆÇÈÉÊËÎÏÔÖŒÙÛÜŸ«»‘’“”–—…€°\xa0]*")


@dataclasses.dataclass
class CorpusCopy:
    """The result of copying a split. The fields are the keys of the JSON output.

    Attributes:
      split: name of the split.
      files: the copies.
      read: number of pairs read.
      written: number of pairs written.
      changed: number of lines that differ from the original.
      left_out: kind of fault → number of omitted pairs.
      refused: why there are no copies; "" if there are.
    """

    split: str
    files: tuple[str, ...] = ()
    read: int = 0
    written: int = 0
    changed: int = 0
    left_out: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    refused: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        return {**vars(self), "left_out": dict(self.left_out)}

    def summary(self) -> str:
        """Returns one line of text."""
        if self.refused:
            return f"{self.split}: not copied: {self.refused}"
        reasons = ", ".join(f"{kind} {count:,}" for kind, count in self.left_out.items())
        return (
            f"{self.split}: {self.read:,} pairs read, {self.written:,} written to {' and '.join(self.files)}; "
            f"{self.changed:,} lines changed; pairs removed: {reasons or 'none'}"
        )


def check_fixable(spec: DataSpec, folder: pathlib.Path) -> None:
    """Raises ValueError unless copies of this corpus can be written to this folder."""
    if not spec.has_line_files:
        key = "mixture" if spec.mixture else "path" if spec.source == "files" else "source"
        found = f"data.{key} is {getattr(spec, key)}"
        raise ValueError(f"--fix repairs only parallel text files, one for each language; {found}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--fix: {folder} exists and is not an empty folder; choose another one")


def write_copies(
    spec: DataSpec, splits: Sequence[str], findings: Sequence[Finding], folder: pathlib.Path, references: bool = False
) -> list[CorpusCopy]:
    """Writes copies of the files of `splits` to a folder, under the same names.

    Args:
      spec: a corpus of files.
      splits: the splits. Pairs of the other splits are removed from the training split.
      findings: findings of an examination of these splits. A split with an error that cannot be repaired is not copied.
      folder: the new folder.
      references: whether to repair also the targets of the held-out splits.

    Raises:
      ValueError: see `check_fixable`.
    """
    check_fixable(spec, folder)
    fixable = {check.name for check in checks.TABLES if check.fix}
    unfixable = {f.split: f for f in findings if f.severity == ERROR and f.kind not in fixable}
    held_out: list[np.ndarray] = []
    copies = {}
    for name in sorted(splits, key=lambda name: name == spec.train_split):  # the training split last
        if name in unfixable:
            copies[name] = CorpusCopy(name, refused=unfixable[name].headline())
        else:
            copier = _SplitCopier(spec, name, folder, references)
            copies[name] = copier.copy(np.concatenate([np.zeros(0, np.int64), *held_out]))
            held_out.append(np.concatenate(copier.hashes))
    return [copies[name] for name in splits]


class _SplitCopier:
    """Copies one split.

    Attributes:
      hashes: the hashes of the pairs of each block, as in `SplitFeatures.pair_hashes`.
    """

    def __init__(self, spec: DataSpec, name: str, folder: pathlib.Path, references: bool) -> None:
        self._spec = spec
        self._is_training = name == spec.train_split
        self._repairs = (True, self._is_training or references)  # source, target
        origins = SplitOrigins.from_spec(spec, name)
        files = [pathlib.Path(origin.name) for origin in (origins.source, origins.target)]
        self._heads = [file_checks.FileHead.read(file) for file in files]
        # Keeps the folders that depend on a split or a language; the folders above them are those of the original.
        depth = next(number for number, part in enumerate(pathlib.Path(spec.path).parts) if "{" in part)
        self._paths = [folder.joinpath(*head.path.parts[depth:]) for head in self._heads]
        self._result = CorpusCopy(name, tuple(map(str, self._paths)))
        self._written_hashes: set[int] = set()
        self.hashes: list[np.ndarray] = []

    def copy(self, held_out: np.ndarray) -> CorpusCopy:
        """Writes the copies; a training split without the pairs whose hashes are in `held_out`."""
        with _writer(self._paths[0]) as source, _writer(self._paths[1]) as target:
            for blocks in zip(*map(file_checks.read_blocks, self._heads), strict=True):
                before = [_decoded(block) for block in blocks]
                repaired = [[repaired_line(line or "") for line in side] for side in before]
                omitted = self._omitted(before, repaired, held_out)
                after = [
                    [
                        line if keeps_words and repairs else old
                        for (line, keeps_words), old in zip(lines, side, strict=True)
                    ]
                    for lines, side, repairs in zip(repaired, before, self._repairs, strict=True)
                ]
                written = [index for index in range(len(after[0])) if index not in omitted]
                for stream, old, new in zip((source, target), before, after, strict=True):
                    stream.writelines(f"{new[index]}\n".encode() for index in written)
                    self._result.changed += sum(old[index] != new[index] for index in written)
                self._result.left_out.update(omitted.values())
                self._result.read += len(after[0])
                self._result.written += len(written)
        return self._result

    def _omitted(
        self,
        lines: Sequence[Sequence[str | None]],
        repaired: Sequence[Sequence[tuple[str, bool]]],
        held_out: np.ndarray,
    ) -> dict[int, str]:
        """Returns index → kind of fault, for the pairs of a block that are not copied.

        Args:
          lines: the lines of both sides; None for a line that cannot be decoded.
          repaired: the repaired lines of both sides, and whether each keeps all words.
          held_out: hashes of the pairs of held-out splits.
        """
        omitted = {index: "invalid-utf-8" for index, pair in enumerate(zip(*lines, strict=True)) if None in pair}
        codes = (self._spec.source_language, self._spec.target_language)
        source, target = ([line for line, _ in side] for side in repaired)
        sides = LineBlock(source, 0, *codes), LineBlock(target, 0, *codes[::-1])
        hashes = SplitFeatures(sides[0].features, sides[1].features).pair_hashes
        self.hashes.append(hashes)
        if not self._is_training:
            return omitted
        for index, ((_, source_keeps), (_, target_keeps)) in enumerate(zip(*repaired, strict=True)):
            if not (source_keeps and target_keeps):
                omitted.setdefault(index, "lost-words")
        for block in sides:
            for check in _omitting(checks.LINES):
                for index, _ in check.find(block):
                    omitted.setdefault(index, check.name)
            language.classify_unknown(block.lines, block.features.languages, block.language, block.other_language)
        pairs = PairBlock(*sides)
        for check in _omitting(checks.SIDES):
            for index in itertools.chain(check.find(pairs, 0), check.find(pairs, 1)):
                omitted.setdefault(index, check.name)
        for check in _omitting(checks.PAIRS):
            for index in check.find(pairs):
                omitted.setdefault(index, check.name)
        for index in np.flatnonzero(np.isin(hashes, held_out) & (hashes != 0)).tolist():
            omitted.setdefault(index, "overlap")
        for index, pair_hash in enumerate(hashes.tolist()):
            if index not in omitted and pair_hash:
                if pair_hash in self._written_hashes:
                    omitted[index] = "duplicate"
                self._written_hashes.add(pair_hash)
        return omitted


def _omitting(table: Iterable[CorpusCheck]) -> list[CorpusCheck]:
    return [check for check in table if check.fix == "pair"]


def _decoded(block: file_checks.RawBlock) -> list[str | None]:
    """Returns the lines; one that is not UTF-8 is decoded as Windows-1252, or None if that is not plain French."""
    if not any(True for _ in file_checks.not_utf8(block)):
        return list(block.decoded())
    return [_decoded_line(line) for line in block.lines]


def _decoded_line(line: bytes) -> str | None:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return line.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        text = line.decode("cp1252", "replace")
        return text if _FRENCH.fullmatch(text) else None


@contextlib.contextmanager
def _writer(path: pathlib.Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:  # never overwrites a file
        if path.suffix == ".gz":
            # Without a time stamp, so that the same corpus gives the same bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as compressed:
                yield cast(IO[bytes], compressed)
        elif format := compression.by_name(path):
            with format.open(file, "wb") as compressed:
                yield compressed
        else:
            yield file
