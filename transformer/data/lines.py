"""Text files, one sentence a line, plain or gzip-compressed, read strictly."""

import gzip
import pathlib
import zlib

GZIP = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _content(path: pathlib.Path) -> bytes:
    """The file's bytes, decompressed if it is a gzip file, without a UTF-8 byte order mark."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not a file")
    data = path.read_bytes()
    if not data:
        raise ValueError(f"{path}: the file is empty")
    if path.suffix == ".gz" or data.startswith(GZIP):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: not a complete gzip file ({error})") from error
        if not data:
            raise ValueError(f"{path}: the file is empty once decompressed")
    return data.removeprefix(BYTE_ORDER_MARK)


def read_lines(path: str | pathlib.Path) -> list[str]:
    r"""The lines of a UTF-8 file. Only \n ends a line; a \r before it belongs to the line's end.

    Not `str.splitlines`: that also breaks at U+2028, U+0085 and others, which occur inside sentences of web corpora,
    and one such break shifts every later pair of a parallel corpus. A byte order mark at the start is left out.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is empty, is no complete gzip file, or has a line (which is named) that is not UTF-8.
    """
    data = _content(pathlib.Path(path))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise ValueError(
            f"{path}:{line}: not UTF-8: byte {data[error.start]:#04x} at byte {column} of the line"
        ) from error
    lines = text.split("\n")
    if lines[-1] == "":  # a final newline ends the last line and starts none
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
