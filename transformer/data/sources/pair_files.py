"""Reads files that hold both sides of a parallel corpus: TSV tables, TMX translation memories and PO catalogues."""

import pathlib
import re
from collections.abc import Iterator, Sequence

from transformer import storage
from transformer.data.pairs import Pair
from transformer.data.sources.gettext_po import read_po
from transformer.data.sources.language_codes import find_language
from transformer.data.sources.text_files import LazyLines
from transformer.data.sources.tmx import read_tmx
from transformer.local_copy import local_copy
from transformer.spec import pair_suffix

_SIDES = ({"source", "src"}, {"target", "tgt", "trg"})  # column names of a TSV file without language codes
_BLOCK = 4096  # lines that are read at a time


def read_pairs(path: str | pathlib.Path, source: str, target: str) -> Iterator[Pair]:
    """Yields the pairs of a TSV, TMX or PO file, plain or compressed, in the order of the file.

    Args:
      path: a file with a suffix of `PAIR_FILES`, which a suffix of `COMPRESSED` may follow.
      source: language code of the source side, such as "fr"; regional variants such as fr-CA match it.
      target: language code of the target side.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is empty or damaged, or has no pair in these languages; the message has file and line.
    """
    path = local_copy(storage.path(path))
    readers = {".tsv": read_tsv, ".tmx": read_tmx, ".po": read_po}
    return readers[pair_suffix(path.name)](path, source, target)


def names_sides(path: pathlib.Path, source: str, target: str) -> bool:
    """Whether the file determines the languages of its sides, by a header or its name; raises as `read_pairs` does."""
    if pair_suffix(path.name) != ".tsv" or _columns_by_name(path, source, target) is not None:
        return True
    (first,) = LazyLines(path).take([0])
    return all(find_language(first.split("\t"), language) is not None for language in (source, target))


def read_tsv(path: pathlib.Path, source: str, target: str) -> Iterator[Pair]:
    """Yields the pairs of a file with tab-separated columns; quotes are part of the text.

    A first line of language codes names the columns. Without it there are two, in the order of the codes in the file's
    name, as in train.en-fr.tsv, or else the source and the target.
    """
    lines = LazyLines(path)
    columns: tuple[int, int] | None = None
    width = 2
    for number, line in enumerate(_in_order(lines), 1):
        cells = line.split("\t")
        if number == 1:
            columns = _header_columns(cells, source, target)
            if columns:
                width = len(cells)
                continue
            columns = _columns_by_name(path, source, target)
            if len(cells) > 2:
                remedy = f"add a first line that names them, and the two sides {source} and {target}"
                raise ValueError(f"{path}:1: {len(cells)} columns; {remedy}")
        if len(cells) != width:
            count = "no tab" if len(cells) == 1 else f"{len(cells)} columns"
            raise ValueError(f"{path}:{number}: {count}, but a line has {width} columns, separated by tabs")
        first, second = columns or (0, 1)
        yield Pair(cells[first], cells[second])


def _in_order(lines: LazyLines) -> Iterator[str]:
    for start in range(0, len(lines), _BLOCK):
        yield from lines.take(range(start, min(start + _BLOCK, len(lines))))


def _header_columns(cells: Sequence[str], source: str, target: str) -> tuple[int, int] | None:
    """Returns the columns of source and target if a line names them."""
    first, second = find_language(cells, source), find_language(cells, target)
    if first is not None and second is not None:
        return first, second
    names = [cell.strip().lower() for cell in cells]
    found = [next((index for index, name in enumerate(names) if name in side), None) for side in _SIDES]
    return (found[0], found[1]) if found[0] is not None and found[1] is not None else None


def _columns_by_name(path: pathlib.Path, source: str, target: str) -> tuple[int, int] | None:
    """Returns the columns of source and target if the file's name has both codes, as train.en-fr.tsv has."""
    match = re.search(rf"(?<![a-z])({source}[-_]{target}|{target}[-_]{source})(?![a-z])", path.name.lower())
    return None if match is None else (0, 1) if match[0].startswith(source) else (1, 0)
