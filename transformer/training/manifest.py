"""What the files of a checkpoint hold: their SHA-256, kept among them.

A file that was cut off makes a reader fail with a message about something else, and one flipped bit is read as another
number without any message. `sha256sum --check manifest.sha256`, in the folder, says what `damage` says.
"""

import concurrent.futures
import hashlib
import pathlib

NAME = "manifest.sha256"


def write(folder: pathlib.Path) -> None:
    """Writes the manifest of all files below `folder`'s folders."""
    # Not of files in the folder itself: Orbax notes there when the checkpoint was committed, which is after this.
    files = sorted(path for path in folder.glob("*/**/*") if path.is_file())
    with concurrent.futures.ThreadPoolExecutor() as pool:
        lines = [
            f"{digest}  {path.relative_to(folder).as_posix()}\n"
            for path, digest in zip(files, pool.map(_digest, files), strict=True)
        ]
    # At once: the folder is no checkpoint yet, and what is cut off here never becomes one.
    (folder / NAME).write_text("".join(lines), encoding="utf-8")


def steps(folder: pathlib.Path) -> list[int]:
    """Numbers of the checkpoints in `folder`, in no order; what is half written or set aside has a longer name."""
    return [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]


def there(folder: pathlib.Path) -> bool:
    """Whether the folder has a manifest."""
    return (folder / NAME).is_file()


def damage(folder: pathlib.Path) -> str | None:
    """The first thing that is wrong with the files in `folder`, or None."""
    try:
        return _damage(folder)
    except OSError as error:  # also of a file that is deleted meanwhile
        return f"{error.filename} cannot be read ({error.strerror})"


def _damage(folder: pathlib.Path) -> str | None:
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
        return f"{NAME} is cut off"
    missing = [path for path in expected if not path.is_file()]
    if missing:
        return f"{missing[0].relative_to(folder)} is missing"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for path, digest in zip(expected, pool.map(_digest, expected), strict=True):
            if digest != expected[path]:
                return f"{path.relative_to(folder)} is not what was written (its SHA-256 differs)"
    return None


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
