"""Checks, before the work, that a command can write its output."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

from transformer import storage


def check_file(flag: str, path: str | pathlib.Path) -> None:
    """Checks that a file can be written, without creating it.

    Raises:
      ValueError: it cannot; the message names the flag.
    """
    path = storage.path(path)
    if storage.in_bucket(path):
        return  # it has no folders, and a file appears in it when it is complete
    if not path.parent.is_dir():
        raise ValueError(f"{flag}={path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise ValueError(f"{flag}={path} is a folder; name a file")
    if path.exists() and not path.is_file():
        return  # a pipe or a device, which opening would change
    new = not path.exists()
    with _errors(flag, path):
        path.open("a").close()
        if new:
            path.unlink()


def check_folder(flag: str, path: str | pathlib.Path) -> None:
    """Checks that files can be written to a folder, which may be missing and is not created.

    Raises:
      ValueError: they cannot; the message names the flag.
    """
    path = storage.path(path)
    if storage.in_bucket(path):
        return
    absolute = path.absolute()
    with _errors(flag, path):
        existing = next(folder for folder in (absolute, *absolute.parents) if folder.exists())
        tempfile.TemporaryFile(dir=existing).close()


@contextlib.contextmanager
def _errors(flag: str, path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"{flag}={path} cannot be written: {error.strerror or error}") from error
