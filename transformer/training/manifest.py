"""Manifests of checkpoints: a file with the SHA-256 of all other files.

A truncated file makes a reader fail with a misleading message, and a flipped bit is read as another number without any
message. `sha256sum --check manifest.sha256` in the folder finds the same damage as `first_fault`.
"""

import concurrent.futures
import hashlib
import pathlib

from transformer import storage

NAME = "manifest.sha256"
_COMMIT = "commit_success.txt"  # completes a checkpoint in a bucket


def write(folder: pathlib.Path) -> None:
    """Writes the manifest of all files in the subfolders of `folder`."""
    # Without files directly in `folder`: Orbax later writes the time of the commit to one of them.
    files = sorted(path for path in folder.rglob("*") if path.parent != folder and path.is_file())
    with concurrent.futures.ThreadPoolExecutor() as pool:
        lines = [
            f"{digest}  {path.relative_to(folder).as_posix()}\n"
            for path, digest in zip(files, pool.map(_digest, files), strict=True)
        ]
    # Not atomic: the folder is not a checkpoint yet, and does not become one if this write is interrupted.
    (folder / NAME).write_text("".join(lines), encoding="utf-8")


def checkpoint_steps(folder: pathlib.Path) -> list[int]:
    """Returns the steps of the checkpoints in `folder`, unordered; incomplete and quarantined ones have other names."""
    steps = [path for path in folder.glob("*") if path.name.isdecimal()]
    return [int(path.name) for path in steps if not storage.in_bucket(path) or (path / _COMMIT).exists()]


def exists(folder: pathlib.Path) -> bool:
    """Returns whether the folder has a manifest."""
    return (folder / NAME).is_file()


def first_fault(folder: pathlib.Path) -> str | None:
    """Returns a description of the first damaged file in `folder`, or None."""
    try:
        return _first_fault(folder)
    except OSError as error:  # includes a file that is deleted concurrently
        return f"{error.filename} cannot be read ({error.strerror})" if error.filename else str(error)


def _first_fault(folder: pathlib.Path) -> str | None:
    try:
        text = (folder / NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"{NAME} is missing" if any(folder.iterdir()) else "the folder is empty"
    except UnicodeDecodeError:
        return f"{NAME} is not text"
    expected: dict[pathlib.Path, str] = {}
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        expected[folder / name] = digest
    if not text.endswith("\n"):
        return f"{NAME} is truncated"
    missing = [path for path in expected if not path.is_file()]
    if missing:
        return f"{missing[0].relative_to(folder)} is missing"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for path, digest in zip(expected, pool.map(_digest, expected), strict=True):
            if digest != expected[path]:
                return f"{path.relative_to(folder)} is damaged (its SHA-256 differs)"
    return None


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
