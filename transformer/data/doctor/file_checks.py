"""A text file as it is, damage and all: what it begins with, its lines as far as they can be read, and faults of both.

`transformer.data.sources.text_files.read_lines` refuses a damaged file at its first fault; this reads on.
"""

import dataclasses
import functools
import gzip
import io
import itertools
import pathlib
import zlib
from collections.abc import Iterator
from typing import IO, cast

from transformer.data.doctor import line_features
from transformer.data.sources.text_files import BYTE_ORDER_MARK, GZIP

_OTHER_ARCHIVES = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf\x27\x1c": "7z",
}
_WIDE_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",  # before UTF-16's, which is how it begins
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_HEAD = 1 << 12  # bytes that tell what a file is


@dataclasses.dataclass(frozen=True)
class Head:
    """What can be told of a file before its lines are read.

    Attributes:
      path: the file.
      trouble: why it cannot be opened; "" if it can.
      raw: its first bytes.
      text: its first bytes, decompressed.
    """

    path: pathlib.Path
    trouble: str
    raw: bytes = b""
    text: bytes = b""

    @classmethod
    def of(cls, path: pathlib.Path) -> "Head":
        """Reads the head of a file, whatever there is."""
        if not path.exists():
            return cls(path, "missing")
        if not path.is_file():
            return cls(path, "a folder" if path.is_dir() else "not a file")
        try:
            with path.open("rb") as file:
                raw = file.read(_HEAD)
        except OSError as error:
            return cls(path, error.strerror or str(error))
        if not raw.startswith(GZIP):
            return cls(path, "", raw, raw)
        with _decompressed(path) as stream:
            try:
                text = stream.read(_HEAD)
            except (EOFError, OSError, zlib.error):  # `batches` comes upon it again
                text = b"?"
        return cls(path, "", raw, text)

    @property
    def readable(self) -> bool:
        """Whether there are lines to read."""
        return not self.trouble and bool(self.text) and not other_archive(self)

    @functools.cached_property
    def wide(self) -> str:
        """The encoding, where characters have two or four bytes; else ""."""
        for mark, encoding in _WIDE_MARKS.items():
            if self.text.startswith(mark):
                return encoding
        even, odd = (self.text[parity::2].count(0) / max(1, len(self.text) // 2) for parity in (0, 1))
        if max(even, odd) > 0.6 and min(even, odd) < 0.1:
            return "utf-16-be" if even > odd else "utf-16-le"
        return ""


def missing(head: Head) -> str:
    """Finds that there is no such file."""
    return "no such file" if head.trouble == "missing" else ""


def not_a_file(head: Head) -> str:
    """Finds a folder, or a device."""
    return head.trouble if head.trouble in ("a folder", "not a file") else ""


def unreadable(head: Head) -> str:
    """Finds a file that the system does not let us read."""
    return "" if missing(head) or not_a_file(head) else head.trouble


def empty(head: Head) -> str:
    """Finds a file with nothing in it, or a gzip file with nothing in it."""
    if head.trouble or head.text:
        return ""
    return "nothing in it once decompressed" if head.raw else "0 bytes"


def other_archive(head: Head) -> str:
    """Finds a file compressed by something else than gzip."""
    return next((name for magic, name in _OTHER_ARCHIVES.items() if head.raw.startswith(magic)), "")


def gzip_without_name(head: Head) -> str:
    """Finds a gzip file whose name does not say so."""
    return "compressed" if head.raw.startswith(GZIP) and head.path.suffix != ".gz" else ""


def only_named_gzip(head: Head) -> str:
    """Finds a file that is called .gz and is none."""
    return "plain text" if head.raw and not head.raw.startswith(GZIP) and head.path.suffix == ".gz" else ""


def wide_encoding(head: Head) -> str:
    """Finds UTF-16 and UTF-32."""
    return head.wide.upper()


@dataclasses.dataclass(frozen=True)
class Raw:
    """Some consecutive lines of a file as bytes, line ends included.

    Attributes:
      first: the number of the first, from 0.
      lines: the lines.
      last: whether the file ends here.
      broken: why it could not be read on, "" if it could.
    """

    first: int
    lines: list[bytes]
    last: bool
    broken: str = ""

    @functools.cached_property
    def data(self) -> bytes:
        """All of them."""
        return b"".join(self.lines)

    def decoded(self) -> list[str]:
        r"""The lines without line ends and byte order mark; a byte that is not UTF-8 is shown as \xe9."""
        data = self.data.removeprefix(BYTE_ORDER_MARK) if self.first == 0 else self.data
        lines = data.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n") if self.lines else []
        return [line.removesuffix("\r") for line in lines]


def byte_order_mark(raw: Raw) -> Iterator[tuple[int, str]]:
    """Finds a byte order mark at the start of a file."""
    if raw.first == 0 and raw.data.startswith(BYTE_ORDER_MARK):
        yield 0, ""


def carriage_return_line_feed(raw: Raw) -> Iterator[tuple[int, str]]:
    """Finds line ends of Windows."""
    if b"\r\n" in raw.data:
        yield from ((index, "") for index, line in enumerate(raw.lines) if line.endswith(b"\r\n"))


def carriage_returns_alone(raw: Raw) -> Iterator[tuple[int, str]]:
    """Finds a file of one line, which carriage returns part into several."""
    if raw.first == 0 and raw.last and len(raw.lines) == 1 and raw.data.rstrip(b"\r\n").count(b"\r"):
        yield 0, f"{raw.data.rstrip(bytes([10, 13])).count(bytes([13])) + 1:,} lines to those who wrote them"


def no_final_line_feed(raw: Raw) -> Iterator[tuple[int, str]]:
    """Finds a last line that does not end, as where a copy was cut off."""
    if raw.last and not raw.broken and raw.lines and not raw.lines[-1].endswith(b"\n"):
        yield len(raw.lines) - 1, ""


def not_utf8(raw: Raw) -> Iterator[tuple[int, str]]:
    """Finds bytes that are not UTF-8."""
    try:
        raw.data.decode("utf-8")
    except UnicodeDecodeError:
        for index, line in enumerate(raw.lines):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = f"byte {line[error.start]:#04x} at byte {error.start + 1} of the line"
                # What Latin-1 and Windows-1252 read alike says by itself whether it is one of them.
                around = line[max(0, error.start - 12) : error.start + 12].strip()
                yield index, f"{byte}; read as Windows-1252: {around.decode('cp1252', 'replace')}"


def damaged_gzip(raw: Raw) -> Iterator[tuple[int, str]]:
    """Finds where a gzip file breaks off, or is damaged."""
    if raw.broken:
        yield max(0, len(raw.lines) - 1), f"the last line that could be read; {raw.broken}"


def batches(head: Head) -> Iterator[Raw]:
    """The lines of a readable file, `block.SIZE` at a time; UTF-16 and UTF-32 become UTF-8."""
    if head.wide:
        with _opened(head) as stream:
            try:
                data = stream.read()
            except (EOFError, OSError, zlib.error):
                data = head.text
        text = data.decode(head.wide, "replace").removeprefix("\ufeff")
        yield from _batches(io.BytesIO(text.encode("utf-8", "replace")))
    else:
        with _opened(head) as stream:
            yield from _batches(stream)


def _opened(head: Head) -> IO[bytes]:
    return _decompressed(head.path) if head.raw.startswith(GZIP) else head.path.open("rb")


def _decompressed(path: pathlib.Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb"))


def _batches(stream: IO[bytes]) -> Iterator[Raw]:
    broken: list[str] = []

    def whole() -> Iterator[bytes]:
        try:
            # Not through a larger buffer, which would lose all it holds where a gzip file breaks off.
            yield from stream
        except (EOFError, OSError, zlib.error) as error:
            broken.append(" ".join(str(error).split()))

    lines = whole()
    first, batch = 0, list(itertools.islice(lines, line_features.SIZE))
    while batch or first == 0:
        following = list(itertools.islice(lines, line_features.SIZE)) if len(batch) == line_features.SIZE else []
        yield Raw(first, batch, not following, "".join(broken) if not following else "")
        first += len(batch)
        batch = following
        if not batch:
            return
