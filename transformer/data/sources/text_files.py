"""Reads text files with one sentence per line, plain or compressed, and rejects damaged ones."""

import contextlib
import itertools
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from transformer import atomic_file, storage
from transformer.data.sources import compression
from transformer.local_copy import local_copy

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_PIECE = 1 << 22  # bytes scanned at a time
_BLOCK = 4096  # lines that `LazyLines` reads at a time


def read_lines(path: str | pathlib.Path) -> list[str]:
    r"""Reads the lines of a UTF-8 file. Lines end with \n or \r\n.

    This is not `str.splitlines`, which also breaks at U+2028, U+0085 and others. These occur inside sentences of web
    corpora, and one such break shifts all later pairs of a parallel corpus. A byte order mark at the start is removed.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is empty, its compressed data are incomplete, or it has a line (which is named) that is not
        UTF-8.
    """
    return _decoded(b"".join(pieces(local_copy(storage.path(path)))).removeprefix(BYTE_ORDER_MARK), path, 0)


class LazyLines:
    """The lines of a file, as from `read_lines`, but read on access; can be pickled.

    Holds an index of the start of every 4096th line. To find a line of a compressed file, everything before it is
    decompressed, so lines should be read in ascending order.

    Args:
      path: the file, which is scanned once.
      index_path: a file for the index. If it holds the index of the unchanged file, the file is not scanned.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is empty, or its compressed data are incomplete.
    """

    def __init__(self, path: str | pathlib.Path, index_path: pathlib.Path | None = None) -> None:
        self._path = local_copy(storage.path(path))
        self._file: BinaryIO | None = None
        stamp = _stamp(self._path)
        if index_path is not None and index_path.exists() and np.load(index_path)[:2].tolist() == stamp:
            self._size, *self._starts = np.load(index_path)[2:].tolist()
            return
        self._size, self._starts = _index(self._path)
        if index_path is not None:
            # Without permission to write, the file is scanned each time.
            with contextlib.suppress(OSError), atomic_file.writer(index_path) as file:
                np.save(file, np.array([*stamp, self._size, *self._starts]))

    def __len__(self) -> int:
        return self._size

    def take(self, indices: Sequence[int]) -> list[str]:
        """Returns the lines at `indices`, which are not negative; raises ValueError for a line that is not UTF-8."""
        lines = []
        for number, group in itertools.groupby(indices, lambda index: index // _BLOCK):
            block = self._block(number)
            lines += [block[index % _BLOCK] for index in group]
        return lines

    def _block(self, number: int) -> list[str]:
        if self._file is None:
            self._file = compression.open_file(self._path)
        self._file.seek(self._starts[number])
        end = self._starts[number + 1]
        return _decoded(self._file.read(end - self._starts[number]), self._path, number * _BLOCK)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def __del__(self) -> None:
        if file := getattr(self, "_file", None):
            file.close()


def _stamp(path: pathlib.Path) -> list[int]:
    """Returns size and modification time; raises FileNotFoundError or ValueError if `path` is not a file."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not a file")
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def pieces(path: pathlib.Path) -> Iterator[bytes]:
    """Yields the decompressed content of a file.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is empty, or its compressed data are incomplete.
    """
    if not _stamp(path)[0]:
        raise ValueError(f"{path}: the file is empty")
    with compression.open_file(path) as file:
        try:
            piece = file.read(_PIECE)
            if not piece:
                raise ValueError(f"{path}: the file is empty once decompressed")
            while piece:
                yield piece
                piece = file.read(_PIECE)
        except Exception as error:
            if (format := compression.detect(path)) and compression.is_damage(error):
                raise ValueError(f"{path}: not a complete {format.name} file ({error})") from error
            raise


def _index(path: pathlib.Path) -> tuple[int, list[int]]:
    """Returns the number of lines, and the positions of every 4096th line and of the end of the file."""
    lines, position, last = 0, 0, b""
    starts: list[int] = []
    for piece in pieces(path):
        if not position:
            starts.append(len(BYTE_ORDER_MARK) if piece.startswith(BYTE_ORDER_MARK) else 0)
        ends = np.flatnonzero(np.frombuffer(piece, np.uint8) == ord("\n"))
        # The line after newline j, counted from 0 in the complete file, is line j + 1.
        starts += (position + ends[-(lines + 1) % _BLOCK :: _BLOCK] + 1).tolist()
        lines, position, last = lines + len(ends), position + len(piece), piece[-1:]
    if last != b"\n" and position > starts[0]:
        lines += 1
    elif lines % _BLOCK == 0:
        starts.pop()  # a final newline ends the last line and starts no other
    return lines, [*starts, position]


def _decoded(data: bytes, path: str | pathlib.Path, first: int) -> list[str]:
    """Decodes the lines of `data`, which starts with line `first` of the file at `path`, counted from 0."""
    lines = decode(data, path, first).split("\n")
    if lines[-1] == "":  # a final newline ends the last line and starts no other
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def decode(data: bytes, path: str | pathlib.Path, first: int = 0, encoding: str = "utf-8") -> str:
    """Decodes `data`, which starts with line `first` of the file at `path`, counted from 0.

    Raises:
      ValueError: a byte does not fit the encoding (the message has its line), or the encoding is unknown.
    """
    name = encoding.upper()
    try:
        return data.decode(encoding)
    except LookupError as error:
        raise ValueError(f"{path}: {name} is not a known encoding") from error
    except UnicodeDecodeError as error:
        line = first + data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        byte = f"byte {data[error.start]:#04x} at byte {column} of the line"
        raise ValueError(f"{path}:{line}: not {name}: {byte}") from error


def one_line(text: str) -> str:
    """Replaces each line break in a text, with the white space around it, with a space; removes breaks at the ends."""
    return re.sub(r"\s*[\r\n]\s*", "\n", text).strip("\n").replace("\n", " ")
