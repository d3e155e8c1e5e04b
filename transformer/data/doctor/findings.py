"""What the doctor says: one finding for each kind of fault in each place where it was looked for."""

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

ERROR, WARNING = "error", "warning"

_EXCERPT = 72  # characters of a line that are shown
_EDGE = re.compile("^ +| +$")


@dataclasses.dataclass(frozen=True)
class Check:
    """A kind of fault: one row of the tables in checks.py.

    Attributes:
      name: the kind of its findings.
      severity: "error" where training would be wrong or impossible, else "warning".
      meaning: what was found; a count or a detail follows it.
      remedy: what to do about it.
      find: looks for it; what it takes and yields depends on the table.
      fast: also at the start of every training.
      mends: what a cleaned copy does: changes the "text", leaves out the "pair", or nothing, "".
      explains: kinds that this one makes superfluous in the same split.
      once: there is one in a file at most, which the message need not say.
    """

    name: str
    severity: str
    meaning: str
    remedy: str
    find: Callable[..., Any]
    fast: bool = False
    mends: str = ""
    explains: tuple[str, ...] = ()
    once: bool = False


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where lines come from.

    Attributes:
      name: a file, or a split of a corpus that has no files.
      first: the number of the first: 1 in a file, whose lines are numbered, 0 in a split, whose pairs have indices.
      language: which side, where the name does not say.
    """

    name: str
    first: int = 1
    language: str = ""

    def at(self, index: int) -> str:
        """The name of a line, from 0."""
        return f"{self.name}:{self.first + index}"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A kind of fault in a file or a split, with the first places where it is.

    Attributes:
      kind: the name of the check.
      severity: "error" or "warning".
      split: the split that was looked at.
      file: the file, or the split of a corpus that has no files.
      lines: numbers of the first lines, or pairs; empty where the fault is the file's.
      count: how many there are in all.
      message: what is wrong, with the count.
      remedy: what to do.
      excerpts: what stands in these lines.
    """

    kind: str
    severity: str
    split: str
    file: str
    lines: tuple[int, ...]
    count: int
    message: str
    remedy: str
    excerpts: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """FILE:LINE of the first line, or FILE."""
        return f"{self.file}:{self.lines[0]}" if self.lines else self.file

    def headline(self) -> str:
        """One line: where, how bad, what, which kind."""
        return f"{self.place}: {self.severity}: {self.message} [{self.kind}]"

    def text(self) -> Iterator[str]:
        """The lines that a person reads."""
        yield self.headline()
        width = max((len(str(line)) for line in self.lines), default=0)
        for line, excerpt in zip(self.lines, self.excerpts, strict=True):
            if excerpt:
                yield f"    {line:>{width}}  {excerpt}"
        if len(self.lines) > 1 and not any(self.excerpts):
            yield f"    also {', '.join(map(str, self.lines[1:]))}" + (" ..." if self.count > len(self.lines) else "")
        elif self.count > len(self.lines) > 0:
            yield f"    and {self.count - len(self.lines):,} more"
        yield f"    → {self.remedy}"

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


@dataclasses.dataclass(frozen=True)
class Hits:
    """Faults of one kind in a split, by number.

    Attributes:
      places: the first lines, from 0.
      count: how many there are.
      excerpts: a word on each.
      twins: lines, of the same or of another split, that say the same.
      side: in whose file they are: 0 source, 1 target, None for pairs.
      detail: takes the count's place in the message.
    """

    places: Sequence[int]
    count: int
    excerpts: Sequence[str] = ()
    twins: Sequence[int] = ()
    side: int | None = None
    detail: str = ""


def visible(text: str, column: int = 0, width: int = _EXCERPT) -> str:
    """A stretch of a line around a column, in which every character can be seen."""
    start = max(0, min(column - width // 3, len(text) - width))
    shown = "".join(map(_visible, text[start : start + width]))
    shown = _EDGE.sub(lambda spaces: "␣" * len(spaces[0]), shown)
    return ("…" if start else "") + shown + ("…" if len(text) > start + width else "")


def visible_pair(source: str, target: str) -> str:
    """The beginnings of a pair."""
    return f"{visible(source, width=_EXCERPT // 2)} ||| {visible(target, width=_EXCERPT // 2)}"


def _visible(character: str) -> str:
    if character == " " or unicodedata.category(character)[0] not in "CZM":  # controls, spaces, combining marks
        return character
    return {"\t": r"\t", "\r": r"\r", "\n": r"\n"}.get(character, f"<U+{ord(character):04X}>")


class Ledger:
    """Collects findings: counts all faults, keeps the first `limit` of each kind in each place."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._notes: dict[tuple[str, Origin, str, str], _Note] = {}

    def note(self, check: Check, split: str, origin: Origin, hits: Hits) -> None:
        """Adds faults of one kind in one place; those with a detail are a finding of their own."""
        note = self._notes.setdefault((split, origin, check.name, hits.detail), _Note(check))
        room = self.limit - len(note.places)
        excerpts = hits.excerpts or [""] * len(hits.places)
        note.places += [(origin.first + place, excerpt) for place, excerpt in zip(hits.places, excerpts, strict=True)][
            :room
        ]
        note.count += hits.count

    def findings(self, sizes: Mapping[Origin, int]) -> list[Finding]:
        """All findings, errors first; `sizes` says how many lines were looked at."""
        # A fault of the whole split says all that these would say line by line.
        explained = {(split, kind) for (split, *_), note in self._notes.items() for kind in note.check.explains}
        found = [
            note.finding(split, origin, detail, sizes.get(origin, 0))
            for (split, origin, kind, detail), note in self._notes.items()
            if (split, kind) not in explained
        ]
        return sorted(found, key=lambda finding: finding.severity != ERROR)


@dataclasses.dataclass
class _Note:
    check: Check
    places: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    count: int = 0

    def finding(self, split: str, origin: Origin, detail: str, size: int) -> Finding:
        check = self.check
        side = f" ({origin.language})" if origin.language else ""
        fix = {"text": "; --fix mends it", "pair": "; --fix leaves such pairs out of the training split"}.get(
            check.mends
        )
        said = detail or ("" if check.once else f"{self.count:,}" + (f" of {size:,}" if size else ""))
        return Finding(
            kind=check.name,
            severity=check.severity,
            split=split,
            file=origin.name,
            lines=tuple(place for place, _ in self.places),
            count=self.count,
            message=f"{check.meaning}{side}" + (f": {said}" if said else ""),
            remedy=check.remedy + (fix if fix and origin.first else ""),  # what has no files is not mended
            excerpts=tuple(excerpt for _, excerpt in self.places),
        )
