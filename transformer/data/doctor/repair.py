"""Cleaned copies of parallel files: what can be mended is mended, and what is no translation is left out.

The originals are read, never written. Pairs are left out of the training split alone: a held-out split from which
somebody has taken sentences gives scores that nobody else's can be compared with.
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
from transformer.data.doctor.character_checks import mended
from transformer.data.doctor.examine import Origins
from transformer.data.doctor.findings import ERROR, Check, Finding
from transformer.data.doctor.line_features import Block, Lines
from transformer.data.doctor.split import Split
from transformer.spec import DataSpec

# What French and English text has beyond ASCII. Other characters say that a line was not Windows-1252.
_FRENCH = re.compile("[\x00-\x7fàâäæçèéêëîïôöœùûüÿÀÂÄÆÇÈÉÊËÎÏÔÖŒÙÛÜŸ«»‘’“”–—…€°\xa0]*")


@dataclasses.dataclass
class Copy:
    """What became of a split.

    Attributes:
      split: its name.
      files: the copies.
      read: pairs.
      written: pairs.
      changed: lines that are not as they were.
      left_out: kind of fault → pairs.
      refused: why there are no copies; "" if there are.
    """

    split: str
    files: tuple[str, ...] = ()
    read: int = 0
    written: int = 0
    changed: int = 0
    left_out: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    refused: str = ""

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "left_out": dict(self.left_out)}

    def text(self) -> str:
        """One line for a person."""
        if self.refused:
            return f"{self.split}: no copy: {self.refused}"
        reasons = ", ".join(f"{kind} {count:,}" for kind, count in self.left_out.items())
        return (
            f"{self.split}: {self.read:,} pairs read, {self.written:,} written to {' and '.join(self.files)}; "
            f"{self.changed:,} lines changed; left out: {reasons or 'none'}"
        )


def check(spec: DataSpec, folder: pathlib.Path) -> None:
    """Raises ValueError unless copies of this corpus can be written into this folder."""
    if spec.source != "files":
        raise ValueError(f"--fix mends parallel text files alone; data.source is {spec.source}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--fix: {folder} exists and is not an empty folder; name another one")


def write(spec: DataSpec, splits: Sequence[str], findings: Sequence[Finding], folder: pathlib.Path) -> list[Copy]:
    """Writes copies of the files of `splits` into a folder, under their names.

    Args:
      spec: the corpus, of files.
      splits: which; pairs that others of them have are left out of the training split.
      findings: of an examination of these splits; one with an error that cannot be mended is not copied.
      folder: where; it is made.

    Raises:
      ValueError: see `check`.
    """
    check(spec, folder)
    mendable = {kind.name for kind in checks.TABLES if kind.mends}
    unmendable = {f.split: f for f in findings if f.severity == ERROR and f.kind not in mendable}
    held_out: list[np.ndarray] = []
    copies = {}
    for name in sorted(splits, key=lambda name: name == spec.train_split):  # the held-out ones first
        if name in unmendable:
            copies[name] = Copy(name, refused=unmendable[name].headline())
        else:
            copy = _Copying(spec, name, folder)
            copies[name] = copy.run(np.concatenate([np.zeros(0, np.int64), *held_out]))
            held_out.append(np.concatenate(copy.keys))
    return [copies[name] for name in splits]


class _Copying:
    """Copies one split.

    Attributes:
      keys: of the pairs read, as `Split.pair_key`.
    """

    def __init__(self, spec: DataSpec, name: str, folder: pathlib.Path) -> None:
        self._spec = spec
        self._trained_on = name == spec.train_split
        origins = Origins.of(spec, name)
        self._heads = [file_checks.Head.of(pathlib.Path(origin.name)) for origin in (origins.source, origins.target)]
        # Folders that a split or a language names are kept; what stands above them is the place of this corpus alone.
        above = next(number for number, part in enumerate(pathlib.Path(spec.path).parts) if "{" in part)
        self._copies = [folder.joinpath(*head.path.parts[above:]) for head in self._heads]
        self._done = Copy(name, tuple(map(str, self._copies)))
        self._seen: set[int] = set()
        self.keys: list[np.ndarray] = []

    def run(self, held_out: np.ndarray) -> Copy:
        """Writes the copies, in the training split without the pairs whose keys are in `held_out`."""
        with _writer(self._copies[0]) as source, _writer(self._copies[1]) as target:
            for raws in zip(*map(file_checks.batches, self._heads), strict=True):
                before = [_decoded(raw) for raw in raws]
                after = [[None if line is None else mended(line) for line in side] for side in before]
                left_out = self._left_out(after[0], after[1], held_out)
                kept = [number for number in range(len(after[0])) if number not in left_out]
                for stream, old, new in zip((source, target), before, after, strict=True):
                    stream.writelines(f"{new[number]}\n".encode() for number in kept)
                    self._done.changed += sum(old[number] != new[number] for number in kept)
                self._done.left_out.update(left_out.values())
                self._done.read += len(after[0])
                self._done.written += len(kept)
        return self._done

    def _left_out(
        self, source: Sequence[str | None], target: Sequence[str | None], held_out: np.ndarray
    ) -> dict[int, str]:
        """The pairs of a block that are not copied, each with the kind of its fault."""
        found = {
            number: "invalid-utf-8" for number, pair in enumerate(zip(source, target, strict=True)) if None in pair
        }
        codes = (self._spec.source_language, self._spec.target_language)
        sides = (
            Lines([line or "" for line in source], 0, *codes),
            Lines([line or "" for line in target], 0, *codes[::-1]),
        )
        keys = Split(sides[0].numbers, sides[1].numbers).pair_key
        self.keys.append(keys)
        if not self._trained_on:
            return found
        for lines in sides:
            for check in _leaves_out(checks.LINES):
                for number, _ in check.find(lines):
                    found.setdefault(number, check.name)
            for number, code in language.classified(lines.lines, lines.numbers.language, lines.code, lines.other):
                lines.numbers.language[number] = code
        pairs = Block(*sides)
        for check in _leaves_out(checks.SIDES):
            for number in itertools.chain(check.find(pairs, 0), check.find(pairs, 1)):
                found.setdefault(number, check.name)
        for check in _leaves_out(checks.PAIRS):
            for number in check.find(pairs):
                found.setdefault(number, check.name)
        for number in np.flatnonzero(np.isin(keys, held_out) & (keys != 0)).tolist():
            found.setdefault(number, "overlap")
        for number, key in enumerate(keys.tolist()):
            if number not in found and key:
                if key in self._seen:
                    found[number] = "duplicate"
                self._seen.add(key)
        return found


def _leaves_out(table: Iterable[Check]) -> list[Check]:
    return [check for check in table if check.mends == "pair"]


def _decoded(raw: file_checks.Raw) -> list[str | None]:
    """The lines; one that is not UTF-8 is read as Windows-1252 if that gives plain French, else it is None."""
    if not any(True for _ in file_checks.not_utf8(raw)):
        return list(raw.decoded())
    return [_guessed(line) for line in raw.lines]


def _guessed(line: bytes) -> str | None:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return line.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        text = line.decode("cp1252", "replace")
        return text if _FRENCH.fullmatch(text) else None


@contextlib.contextmanager
def _writer(path: pathlib.Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:  # never over a file that is there
        if path.suffix == ".gz":
            # Without a time in it, so that the same corpus gives the same bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                yield cast(IO[bytes], packed)
        else:
            yield file
