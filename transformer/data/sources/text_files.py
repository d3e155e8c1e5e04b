"""Reads text files with one sentence per line, plain or gzip-compressed, and rejects damaged ones."""

import contextlib
import gzip
import itertools
import pathlib
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, cast

import numpy as np

from transformer import atomic_file

GZIP = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_PIECE = 1 << 22  # bytes scanned at a time
_BLOCK = 4096  # lines that `LazyLines` reads at a time


def read_lines(path: str | pathlib.Path) -> list[str]:
    r"""Reads the lines of a UTF-8 file. Lines end with \n or \r\n.

    This is not `str.splitlines`, which also breaks at U+2028, U+0085 and others. These occur inside sentences of web
    corpora, and one such break shifts all later pairs of a parallel corpus. A byte order mark at the start is removed.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is empty, is not a complete gzip file, or has a line (which is named) that is not UTF-8.
    """
    return _decoded(b"".join(_pieces(pathlib.Path(path))).removeprefix(BYTE_ORDER_MARK), path, 0)


class LazyLines:
    """The lines of a file, as from `read_lines`, but read on access; can be pickled.

    Holds an index of the start of every 4096th line. To find a line of a gzip file, everything before it is
    decompressed, so lines should be read in ascending order.

    Args:
      path: the file, which is scanned once.
      index_path: a file for the index. If it holds the index of the unchanged file, the file is not scanned.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is empty, or is not a complete gzip file.
    """

    def __init__(self, path: str | pathlib.Path, index_path: pathlib.Path | None = None) -> None:
        self._path = pathlib.Path(path)
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
            self._file = _opened(self._path)
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


def _opened(path: pathlib.Path) -> BinaryIO:
    """Opens a file, decompressed if it is a gzip file."""
    file = path.open("rb")
    head = file.read(len(GZIP))
    file.seek(0)
    if path.suffix == ".gz" or head == GZIP:
        file.close()
        return cast(BinaryIO, gzip.open(path))
    return file


def _pieces(path: pathlib.Path) -> Iterator[bytes]:
    """Yields the decompressed content of the file."""
    if not _stamp(path)[0]:
        raise ValueError(f"{path}: the file is empty")
    with _opened(path) as file:
        try:
            piece = file.read(_PIECE)
            if not piece:
                raise ValueError(f"{path}: the file is empty once decompressed")
            while piece:
                yield piece
                piece = file.read(_PIECE)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: not a complete gzip file ({error})") from error


def _index(path: pathlib.Path) -> tuple[int, list[int]]:
    """Returns the number of lines, and the positions of every 4096th line and of the end of the file."""
    lines, position, last = 0, 0, b""
    starts: list[int] = []
    for piece in _pieces(path):
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
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first + data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        byte = f"byte {data[error.start]:#04x} at byte {column} of the line"
        raise ValueError(f"{path}:{line}: not UTF-8: {byte}") from error
    lines = text.split("\n")
    if lines[-1] == "":  # a final newline ends the last line and starts no other
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
