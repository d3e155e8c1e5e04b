"""Text files, one sentence a line, plain or gzip-compressed, read strictly."""

import contextlib
import gzip
import itertools
import pathlib
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, cast

import numpy as np

GZIP = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_PIECE = 1 << 22  # bytes looked through at a time
_BLOCK = 4096  # lines read at a time, by those who ask for some


def read_lines(path: str | pathlib.Path) -> list[str]:
    r"""The lines of a UTF-8 file. Only \n ends a line; a \r before it belongs to the line's end.

    Not `str.splitlines`: that also breaks at U+2028, U+0085 and others, which occur inside sentences of web corpora,
    and one such break shifts every later pair of a parallel corpus. A byte order mark at the start is left out.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is empty, is no complete gzip file, or has a line (which is named) that is not UTF-8.
    """
    return _decoded(b"".join(_pieces(pathlib.Path(path))).removeprefix(BYTE_ORDER_MARK), path, 0)


class LazyLines:
    """The lines of a file as `read_lines` gives them, but read when asked for; can be pickled.

    Knows where every 4096th line begins. Of a gzip file, what stands before a line is decompressed to find it, so lines
    should be asked for in ascending order.

    Args:
      path: the file, which is looked through once.
      kept: a file to keep the places in; if it has them, of this file as it is now, nothing is looked through.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is empty, or is no complete gzip file.
    """

    def __init__(self, path: str | pathlib.Path, kept: pathlib.Path | None = None) -> None:
        self._path = pathlib.Path(path)
        self._file: BinaryIO | None = None
        stamp = _stamp(self._path)
        if kept is not None and kept.exists() and np.load(kept)[:2].tolist() == stamp:
            self._size, *self._starts = np.load(kept)[2:].tolist()
            return
        self._size, self._starts = _places(self._path)
        if kept is not None:
            temporary = kept.with_name(f"{kept.name}.tmp")
            with contextlib.suppress(OSError):  # where none may write, the file is looked through each time
                with temporary.open("wb") as file:
                    np.save(file, np.array([*stamp, self._size, *self._starts]))
                temporary.replace(kept)

    def __len__(self) -> int:
        return self._size

    def at(self, indices: Sequence[int]) -> list[str]:
        """The lines at `indices`, none of which is negative; raises ValueError for a line that is not UTF-8."""
        found = []
        for number, group in itertools.groupby(indices, lambda index: index // _BLOCK):
            lines = self._block(number)
            found += [lines[index % _BLOCK] for index in group]
        return found

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
    """Size and time of the last change; raises FileNotFoundError or ValueError when there is no such file."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not a file")
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _opened(path: pathlib.Path) -> BinaryIO:
    """The file, decompressed if it is a gzip file."""
    file = path.open("rb")
    head = file.read(len(GZIP))
    file.seek(0)
    if path.suffix == ".gz" or head == GZIP:
        file.close()
        return cast(BinaryIO, gzip.open(path))
    return file


def _pieces(path: pathlib.Path) -> Iterator[bytes]:
    """The content of the file, decompressed, from its beginning to its end."""
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


def _places(path: pathlib.Path) -> tuple[int, list[int]]:
    """How many lines there are, where every 4096th begins, and last where the file ends."""
    lines, position, last = 0, 0, b""
    starts: list[int] = []
    for piece in _pieces(path):
        if not position:
            starts.append(len(BYTE_ORDER_MARK) if piece.startswith(BYTE_ORDER_MARK) else 0)
        ends = np.flatnonzero(np.frombuffer(piece, np.uint8) == ord("\n"))
        # The line after newline j, counted from 0 in the whole file, is line j + 1.
        starts += (position + ends[-(lines + 1) % _BLOCK :: _BLOCK] + 1).tolist()
        lines, position, last = lines + len(ends), position + len(piece), piece[-1:]
    if last != b"\n" and position > starts[0]:
        lines += 1
    elif lines % _BLOCK == 0:
        starts.pop()  # a final newline ends the last line and starts none
    return lines, [*starts, position]


def _decoded(data: bytes, path: str | pathlib.Path, first: int) -> list[str]:
    """The lines of `data`, which begins with line `first` of the file at `path`, counted from 0."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first + data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise ValueError(
            f"{path}:{line}: not UTF-8: byte {data[error.start]:#04x} at byte {column} of the line"
        ) from error
    lines = text.split("\n")
    if lines[-1] == "":  # a final newline ends the last line and starts none
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
