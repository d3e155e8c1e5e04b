"""Opens plain and compressed files: gzip, bzip2, xz and Zstandard, recognised by their suffix."""

import bz2
import dataclasses
import gzip
import lzma
import pathlib
import re
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

HEAD_SIZE = 16  # bytes that show the format


@dataclasses.dataclass(frozen=True)
class Compression:
    """A compression format.

    Attributes:
      name: the name of the format.
      suffix: of the names of its files.
      magic: a regular expression for the first bytes of its files.
      open: opens a file, like `open` in a binary mode; the default is reading.
    """

    name: str
    suffix: str
    magic: bytes
    open: Callable[..., Any]


def _open_zstandard(file: Any, mode: Any = "rb") -> Any:
    try:
        import compression.zstd as zstd  # Python 3.14
    except ImportError:
        try:
            import backports.zstd as zstd
        except ImportError:
            reason = "Zstandard needs a library: pip install backports.zstd; or decompress the file"
            raise ValueError(f"{file}: {reason}") from None
    return zstd.open(file, mode)


GZIP = Compression("gzip", ".gz", rb"\x1f\x8b", gzip.open)
_FORMATS = (
    GZIP,
    Compression("bzip2", ".bz2", rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", bz2.open),
    Compression("xz", ".xz", rb"\xfd7zXZ\x00", lzma.open),
    Compression("Zstandard", ".zst", rb"\x28\xb5\x2f\xfd", _open_zstandard),
)
_BY_SUFFIX = {format.suffix: format for format in _FORMATS}


def by_content(head: bytes) -> Compression | None:
    """Returns the format of a file that starts with `head`; None for a plain file."""
    return next((format for format in _FORMATS if re.match(format.magic, head)), None)


def by_name(path: pathlib.Path) -> Compression | None:
    """Returns the format that the suffix of a file names."""
    return _BY_SUFFIX.get(path.suffix.lower())


def detect(path: pathlib.Path) -> Compression | None:
    """Returns the format of a file by its suffix, or gzip by its content; None for a plain file.

    Raises:
      ValueError: the file has another format than gzip, and its suffix does not say so.
    """
    if named := by_name(path):
        return named
    with path.open("rb") as file:
        format = by_content(file.read(HEAD_SIZE))
    if format not in (None, GZIP):
        raise ValueError(f"{path}: a {format.name} file without {format.suffix} in its name; add it")
    return format


def open_file(path: pathlib.Path) -> BinaryIO:
    """Opens a file for reading bytes, decompressed if it is compressed.

    Raises:
      ValueError: see `detect`; or the format is Zstandard, and no library for it is installed.
    """
    format = detect(path)
    return cast(BinaryIO, format.open(path) if format else path.open("rb"))


def is_damage(error: Exception) -> bool:
    """Whether an exception from reading a compressed file means that its content is damaged or incomplete."""
    named = type(error).__name__ == "ZstdError"  # defined by a library that may be missing
    # gzip and bzip2 raise an OSError without a number; one with a number comes from the operating system.
    system = isinstance(error, OSError) and error.errno is not None
    return named or (isinstance(error, EOFError | OSError | zlib.error | lzma.LZMAError) and not system)
