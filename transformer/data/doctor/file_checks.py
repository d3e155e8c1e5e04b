"""Checks of a text file: its head, and its bytes block by block as far as they can be read.

`transformer.data.sources.text_files.read_lines` rejects a damaged file at the first fault; this module reads on.
"""

import dataclasses
import functools
import io
import itertools
import pathlib
from collections.abc import Iterator
from typing import IO, cast

from transformer.data.doctor import line_features
from transformer.data.sources import compression
from transformer.data.sources.text_files import BYTE_ORDER_MARK

_OTHER_ARCHIVES = {
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf\x27\x1c": "7z",
}
_WIDE_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",  # before the mark of UTF-16, which is a prefix of it
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_HEAD_SIZE = 1 << 12  # bytes


@dataclasses.dataclass(frozen=True)
class FileHead:
    """The start of a file, from which its format is known before its lines are read.

    Attributes:
      path: the file.
      open_error: why the file cannot be opened; "" if it can.
      raw: its first bytes.
      text: its first bytes after decompression.
    """

    path: pathlib.Path
    open_error: str
    raw: bytes = b""
    text: bytes = b""

    @classmethod
    def read(cls, path: pathlib.Path) -> "FileHead":
        """Reads the head of a file; raises no error if that is impossible."""
        if not path.exists():
            return cls(path, "missing")
        if not path.is_file():
            return cls(path, "a folder" if path.is_dir() else "a special file")
        try:
            with path.open("rb") as file:
                raw = file.read(_HEAD_SIZE)
        except OSError as error:
            return cls(path, error.strerror or str(error))
        format = _compression(path, raw)
        if format is None:
            return cls(path, "", raw, raw)
        try:
            stream = format.open(path)
        except ValueError as error:  # no library for this format
            return cls(path, str(error))
        with stream:
            try:
                text = stream.read(_HEAD_SIZE)
            except Exception as error:
                if not compression.is_damage(error):
                    raise
                text = b"?"  # `read_blocks` reports this error
        return cls(path, "", raw, text)

    @property
    def readable(self) -> bool:
        """Whether the file has lines that can be read."""
        return not self.open_error and bool(self.text) and not other_archive(self)

    @functools.cached_property
    def wide_encoding(self) -> str:
        """The encoding, if its characters have two or four bytes; else ""."""
        for mark, encoding in _WIDE_MARKS.items():
            if self.text.startswith(mark):
                return encoding
        even, odd = (self.text[parity::2].count(0) / max(1, len(self.text) // 2) for parity in (0, 1))
        if max(even, odd) > 0.6 and min(even, odd) < 0.1:
            return "utf-16-be" if even > odd else "utf-16-le"
        return ""


def missing(head: FileHead) -> str:
    """Finds a missing file."""
    return "no such file" if head.open_error == "missing" else ""


def not_a_file(head: FileHead) -> str:
    """Finds a folder or a device instead of a file."""
    return head.open_error if head.open_error in ("a folder", "a special file") else ""


def unreadable(head: FileHead) -> str:
    """Finds a file that the operating system does not open."""
    return "" if missing(head) or not_a_file(head) else head.open_error


def empty(head: FileHead) -> str:
    """Finds a file, plain or compressed, without content."""
    if head.open_error or head.text:
        return ""
    return "0 bytes after decompression" if head.raw else "0 bytes"


def other_archive(head: FileHead) -> str:
    """Finds an archive, and a compressed file whose name does not end as its format's files do, except for gzip."""
    format = compression.by_content(head.raw)
    if format and not _compression(head.path, head.raw):
        return format.name
    return next((name for magic, name in _OTHER_ARCHIVES.items() if head.raw.startswith(magic)), "")


def unnamed_gzip(head: FileHead) -> str:
    """Finds a gzip file whose name does not end in .gz."""
    is_gzip = compression.by_content(head.raw) is compression.GZIP
    return "compressed" if is_gzip and head.path.suffix != ".gz" else ""


def misnamed_gzip(head: FileHead) -> str:
    """Finds a file whose name ends in .gz but that is not a gzip file."""
    is_gzip = compression.by_content(head.raw) is compression.GZIP
    return "plain text" if head.raw and not is_gzip and head.path.suffix == ".gz" else ""


def misnamed_archive(head: FileHead) -> str:
    """Finds a file with the suffix of another compression than gzip that is not in that format."""
    named = compression.by_name(head.path)
    if not head.raw or named is None or named in (compression.GZIP, compression.by_content(head.raw)):
        return ""
    return f"no {named.name} file"


def wide_encoding(head: FileHead) -> str:
    """Finds UTF-16 and UTF-32."""
    return head.wide_encoding.upper()


@dataclasses.dataclass(frozen=True)
class RawBlock:
    """Consecutive lines of a file as bytes, line ends included.

    Attributes:
      start: index of the first line in the file.
      lines: the lines.
      is_last: whether the file ends after them.
      read_error: why the rest of the file could not be read; "" if it could.
    """

    start: int
    lines: list[bytes]
    is_last: bool
    read_error: str = ""

    @functools.cached_property
    def data(self) -> bytes:
        """All bytes of the block."""
        return b"".join(self.lines)

    def decoded(self) -> list[str]:
        r"""Returns the lines without line ends and byte order mark; a byte that is not UTF-8 becomes e.g. \xe9."""
        data = self.data.removeprefix(BYTE_ORDER_MARK) if self.start == 0 else self.data
        lines = data.decode("utf-8", "backslashreplace").removesuffix("\n").split("\n") if self.lines else []
        return [line.removesuffix("\r") for line in lines]


def byte_order_mark(block: RawBlock) -> Iterator[tuple[int, str]]:
    """Finds a byte order mark at the start of a file."""
    if block.start == 0 and block.data.startswith(BYTE_ORDER_MARK):
        yield 0, ""


def crlf(block: RawBlock) -> Iterator[tuple[int, str]]:
    """Finds Windows line ends."""
    if b"\r\n" in block.data:
        yield from ((index, "") for index, line in enumerate(block.lines) if line.endswith(b"\r\n"))


def carriage_return_only(block: RawBlock) -> Iterator[tuple[int, str]]:
    """Finds a file that is a single line with carriage returns in it."""
    if block.start == 0 and block.is_last and len(block.lines) == 1 and block.data.rstrip(b"\r\n").count(b"\r"):
        lines = block.data.rstrip(b"\r\n").count(b"\r") + 1
        yield 0, f"{lines:,} lines if CR ends a line"


def no_final_line_feed(block: RawBlock) -> Iterator[tuple[int, str]]:
    """Finds a last line without a line end, which may be the result of an incomplete copy."""
    if block.is_last and not block.read_error and block.lines and not block.lines[-1].endswith(b"\n"):
        yield len(block.lines) - 1, ""


def not_utf8(block: RawBlock) -> Iterator[tuple[int, str]]:
    """Finds bytes that are not UTF-8."""
    try:
        block.data.decode("utf-8")
    except UnicodeDecodeError:
        for index, line in enumerate(block.lines):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = f"byte {line[error.start]:#04x} at byte {error.start + 1} of the line"
                # The reader can see from the text whether the encoding is Windows-1252 (or Latin-1, nearly the same).
                around = line[max(0, error.start - 12) : error.start + 12].strip()
                yield index, f"{byte}; read as Windows-1252: {around.decode('cp1252', 'replace')}"


def damaged_gzip(block: RawBlock) -> Iterator[tuple[int, str]]:
    """Finds the line after which a compressed file is truncated or damaged."""
    if block.read_error:
        yield max(0, len(block.lines) - 1), f"the last line that could be read; {block.read_error}"


def read_blocks(head: FileHead) -> Iterator[RawBlock]:
    """Yields the lines of a readable file in blocks of `BLOCK_SIZE`; converts UTF-16 and UTF-32 to UTF-8."""
    if head.wide_encoding:
        with _opened(head) as stream:
            try:
                data = stream.read()
            except Exception as error:
                if not compression.is_damage(error):
                    raise
                data = head.text
        text = data.decode(head.wide_encoding, "replace").removeprefix("\ufeff")
        yield from _blocks(io.BytesIO(text.encode("utf-8", "replace")))
    else:
        with _opened(head) as stream:
            yield from _blocks(stream)


def _opened(head: FileHead) -> IO[bytes]:
    format = _compression(head.path, head.raw)
    return cast(IO[bytes], format.open(head.path) if format else head.path.open("rb"))


def _compression(path: pathlib.Path, raw: bytes) -> compression.Compression | None:
    """Returns the format of a compressed file that can be read: its suffix names it, or it is gzip."""
    format = compression.by_content(raw)
    return format if format in (compression.by_name(path), compression.GZIP) else None


def _blocks(stream: IO[bytes]) -> Iterator[RawBlock]:
    errors: list[str] = []

    def readable_lines() -> Iterator[bytes]:
        try:
            # A larger buffer would lose its content where a gzip file is truncated.
            yield from stream
        except Exception as error:
            if not (compression.is_damage(error) or isinstance(error, OSError)):
                raise
            errors.append(" ".join(str(error).split()))

    lines = readable_lines()
    size = line_features.BLOCK_SIZE
    start, block = 0, list(itertools.islice(lines, size))
    while block or start == 0:
        following = list(itertools.islice(lines, size)) if len(block) == size else []
        yield RawBlock(start, block, not following, "".join(errors) if not following else "")
        start += len(block)
        block = following
        if not block:
            return
