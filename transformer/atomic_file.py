"""Writes a file or a folder completely or not at all.

The content is written under a temporary name next to the destination, flushed to disk with fsync, and then renamed. A
process that is killed, or a power cut, leaves the previous content or the new content, never a part of it. In a bucket,
an object appears when its upload is complete: nothing is renamed.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO

from transformer import storage


def write(path: pathlib.Path, content: str | bytes) -> None:
    """Writes a file; replaces an existing one. Text is encoded as UTF-8, with its line ends unchanged."""
    with writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def writer(path: pathlib.Path, per_process: bool = False) -> Iterator[IO[bytes]]:
    """Opens a file for writing; it appears under its name, instead of an existing one, when the context exits.

    If the body raises an exception, the file is not written.

    Args:
      path: the file, in an existing folder.
      per_process: whether the temporary name contains the process id, because several processes may write the file at
        the same time. Otherwise the temporary name is `path` with .tmp appended.
    """
    if storage.in_bucket(path):
        from transformer import buckets

        with tempfile.NamedTemporaryFile() as file:
            yield file
            file.flush()
            buckets.upload(pathlib.Path(file.name), path)
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp" if per_process else f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a new folder to fill; it gets the name `path` when the context exits.

    The temporary name is `path` with .partial appended; a folder of that name is deleted first. If the body raises an
    exception, the new folder is deleted.

    Raises:
      OSError: `path` exists and is not an empty folder.
    """
    temporary = path.with_name(f"{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _flush(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows flushes only writable files
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
