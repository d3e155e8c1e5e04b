"""Findings: one for each kind of fault in each file or split."""

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

ERROR, WARNING = "error", "warning"

_EXCERPT_WIDTH = 72  # characters
_EDGE_SPACES = re.compile("^ +| +$")


@dataclasses.dataclass(frozen=True)
class CorpusCheck:
    """A kind of fault: one row of the tables in checks.py.

    Attributes:
      name: kind of the findings, e.g. "double-space".
      severity: "error" if training would be wrong or impossible, else "warning".
      message: names the fault; a count or a detail follows it.
      remedy: what the user can do about it.
      find: finds the fault; its argument and result depend on the table.
      fast: whether the check also runs at the start of every training.
      fix: what a repaired copy changes: the "text", the "pair" (which it omits), or "" for nothing.
      supersedes: kinds whose findings this kind makes redundant in the same split.
      single: whether a file has at most one such fault, so that the message omits the count.
    """

    name: str
    severity: str
    message: str
    remedy: str
    find: Callable[..., Any]
    fast: bool = False
    fix: str = ""
    supersedes: tuple[str, ...] = ()
    single: bool = False


@dataclasses.dataclass(frozen=True)
class LineOrigin:
    """The file or split that lines come from.

    Attributes:
      name: a file, or the split of a corpus without files.
      first_number: number of the first line: 1 in a file, 0 in a split, whose pairs have indices.
      language: language of the side, if the name does not contain it.
    """

    name: str
    first_number: int = 1
    language: str = ""

    def location(self, index: int) -> str:
        """Returns FILE:LINE or SPLIT:INDEX of a line, whose index counts from 0."""
        return f"{self.name}:{self.first_number + index}"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A kind of fault in a file or a split, with its first locations. The fields are the keys of the JSON output.

    Attributes:
      kind: name of the check.
      severity: "error" or "warning".
      split: the examined split.
      file: the file, or the split of a corpus without files.
      lines: numbers of the first faulty lines or pairs; empty if the complete file is faulty.
      count: total number of faults.
      message: the fault and its count.
      remedy: what the user can do about it.
      excerpts: excerpts of these lines.
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
    def location(self) -> str:
        """FILE:LINE of the first line, or FILE."""
        return f"{self.file}:{self.lines[0]}" if self.lines else self.file

    def headline(self) -> str:
        """Returns one line: location, severity, message, kind."""
        return f"{self.location}: {self.severity}: {self.message} [{self.kind}]"

    def report_lines(self) -> Iterator[str]:
        """Yields the lines of the report for a reader."""
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

    def to_json(self) -> dict[str, Any]:
        """Returns the finding as a JSON object."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


@dataclasses.dataclass(frozen=True)
class Occurrences:
    """Faults of one kind in a split.

    Attributes:
      indices: the first faulty lines or pairs, from 0.
      count: total number of faults.
      excerpts: one text for each index; may be empty.
      duplicate_of: for each index, the line of this or another split with the same text; may be empty.
      side: the side whose file is faulty: 0 source, 1 target, None for pairs.
      detail: replaces the count in the message.
    """

    indices: Sequence[int]
    count: int
    excerpts: Sequence[str] = ()
    duplicate_of: Sequence[int] = ()
    side: int | None = None
    detail: str = ""


def visible_excerpt(text: str, column: int = 0, width: int = _EXCERPT_WIDTH) -> str:
    """Returns the part of a line around a column, with escapes for characters that cannot be seen."""
    start = max(0, min(column - width // 3, len(text) - width))
    shown = "".join(map(_visible_character, text[start : start + width]))
    shown = _EDGE_SPACES.sub(lambda spaces: "␣" * len(spaces[0]), shown)
    return ("…" if start else "") + shown + ("…" if len(text) > start + width else "")


def pair_excerpt(source: str, target: str) -> str:
    """Returns the start of both sides of a pair."""
    width = _EXCERPT_WIDTH // 2
    return f"{visible_excerpt(source, width=width)} ||| {visible_excerpt(target, width=width)}"


def _visible_character(character: str) -> str:
    if character == " " or unicodedata.category(character)[0] not in "CZM":  # controls, spaces, combining marks
        return character
    return {"\t": r"\t", "\r": r"\r", "\n": r"\n"}.get(character, f"<U+{ord(character):04X}>")


class FindingCollector:
    """Collects findings: counts all faults, and keeps the first `limit` of each kind in each file or split."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._builders: dict[tuple[str, LineOrigin, str, str], _FindingBuilder] = {}

    def add(self, check: CorpusCheck, split: str, origin: LineOrigin, occurrences: Occurrences) -> None:
        """Adds faults of one kind in one file or split; faults with different details become separate findings."""
        key = (split, origin, check.name, occurrences.detail)
        builder = self._builders.setdefault(key, _FindingBuilder(check))
        remaining = self.limit - len(builder.lines)
        excerpts = occurrences.excerpts or [""] * len(occurrences.indices)
        builder.lines += [origin.first_number + index for index in occurrences.indices[:remaining]]
        builder.excerpts += excerpts[:remaining]
        builder.count += occurrences.count

    def findings(self, sizes: Mapping[LineOrigin, int]) -> list[Finding]:
        """Returns all findings, errors first; `sizes` is the number of examined lines."""
        # A fault of a complete split supersedes the findings about its lines.
        builders = self._builders.items()
        superseded = {(split, kind) for (split, *_), builder in builders for kind in builder.check.supersedes}
        findings = [
            builder.finding(split, origin, detail, sizes.get(origin, 0))
            for (split, origin, kind, detail), builder in builders
            if (split, kind) not in superseded
        ]
        return sorted(findings, key=lambda finding: finding.severity != ERROR)


@dataclasses.dataclass
class _FindingBuilder:
    check: CorpusCheck
    lines: list[int] = dataclasses.field(default_factory=list)
    excerpts: list[str] = dataclasses.field(default_factory=list)
    count: int = 0

    def finding(self, split: str, origin: LineOrigin, detail: str, size: int) -> Finding:
        check = self.check
        side = f" ({origin.language})" if origin.language else ""
        fixes = {"text": "; --fix repairs it", "pair": "; --fix removes such pairs from the training split"}
        fix = fixes.get(check.fix, "") if origin.first_number else ""  # a corpus without files is not repaired
        extent = detail or ("" if check.single else f"{self.count:,}" + (f" of {size:,}" if size else ""))
        return Finding(
            kind=check.name,
            severity=check.severity,
            split=split,
            file=origin.name,
            lines=tuple(self.lines),
            count=self.count,
            message=f"{check.message}{side}" + (f": {extent}" if extent else ""),
            remedy=check.remedy + fix,
            excerpts=tuple(self.excerpts),
        )
