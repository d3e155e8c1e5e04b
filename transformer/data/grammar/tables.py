"""Reads the .tsv files of lexicon/; the README.md of that folder explains their columns.

A file is UTF-8 text. Its first line names the columns, and tabs separate the cells. Blank lines are skipped. Empty
cells at the end of a line may be left out, because many editors remove trailing tabs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib import resources
from typing import TypeVar

T = TypeVar("T")

Row = Mapping[str, str]  # column → cell


def read_table(file: str, columns: str, parse: Callable[[Row], T], key: str = "") -> list[T]:
    """Reads a table of lexicon/.

    Args:
        file: name of the .tsv file.
        columns: the columns that the header must name, in this order; "?" after a name allows empty cells.
        parse: converts a row; raises ValueError if the row is invalid.
        key: columns whose combined cells must be unique.

    Raises:
        ValueError: the file is invalid; the message starts with the file and the line.
    """
    path = resources.files("transformer.data.grammar") / "lexicon" / file
    return list(parse_table(f"lexicon/{file}", path.read_text(encoding="utf-8-sig"), columns, parse, key))


def read_mapping(file: str, columns: str, parse: Callable[[Row], T]) -> dict[str, T]:
    """Reads a table of lexicon/ as first cell → parsed row; the first cells must be unique."""
    first = columns.split()[0]
    return dict(read_table(file, columns, lambda row: (row[first], parse(row)), key=first))


def parse_table(file: str, text: str, columns: str, parse: Callable[[Row], T], key: str = "") -> Iterator[T]:
    """Yields the parsed rows of a table that is given as text; see `read_table`."""
    names = columns.replace("?", "").split()
    required = [column for column in columns.split() if not column.endswith("?")]
    header, *lines = text.splitlines()
    if header.split("\t") != names:
        raise ValueError(f"{file}:1: the header must name the columns {', '.join(names)}, separated by tabs")
    first_lines: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        try:
            row = _split(line, names, required)
            first = first_lines.setdefault(tuple(row[column] for column in key.split()), number) if key else number
            if first != number:
                raise ValueError(f"the same {', '.join(key.split())} as in line {first}")
            parsed = parse(row)
        except ValueError as error:
            raise ValueError(f"{file}:{number}: {error}") from error
        yield parsed


def _split(line: str, columns: Sequence[str], required: Sequence[str]) -> Row:
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) > len(columns):
        raise ValueError(f"{len(cells)} cells, but the header names {len(columns)} columns")
    cells += [""] * (len(columns) - len(cells))
    row = dict(zip(columns, cells, strict=True))
    for column in required:
        if not row[column]:
            raise ValueError(f"the column {column!r} is empty")
    return row


def comma_separated(cell: str) -> list[str]:
    """Returns the items of a cell, which are separated by commas."""
    return [item.strip() for item in cell.split(",")] if cell else []


def one_of(row: Row, column: str, choices: Collection[str]) -> str:
    """Returns a cell that must be one of `choices`."""
    if row[column] not in choices:
        raise ValueError(f"the column {column!r} is {row[column]!r}; it must be one of {', '.join(choices)}")
    return row[column]
