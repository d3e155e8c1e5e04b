"""Generated pairs that are kept for the next run: to make 50,000 takes seconds, to read them a tenth of one.

They lie in a folder that the caller names, under a name with the hash of the code that makes them.
"""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable

from transformer.data.pairs import Pair

_WORTH = range(10_000, 1_000_001)  # pairs; fewer are soon made, more take much room


def kept(
    folder: pathlib.Path | None, name: str, size: int, makers: pathlib.Path, make: Callable[[], Iterable[Pair]]
) -> list[Pair]:
    """The pairs that `make` makes, or made before with the same code.

    What cannot be written is made each time; a file that is not as it was written is made anew.

    Args:
      folder: where; None: nowhere. It need not exist.
      name: what is made, of letters.
      size: how many pairs.
      makers: the folder with all the code that has a say in them.
      make: makes them.
    """
    if folder is None or size not in _WORTH or not makers.is_dir():
        return list(make())
    path = folder / f"{name}-{size}-{_hash_of(makers)}.tsv"
    found = _read(path)
    if found is None:
        found = list(make())
        with contextlib.suppress(OSError):
            _write(found, path, f"{name}-{size}-*.tsv")
    return found


def _hash_of(folder: pathlib.Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _read(path: pathlib.Path) -> list[Pair] | None:
    try:
        expected, _, body = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(body).hexdigest().encode() != expected:
        return None
    return [Pair(*line.split("\t")) for line in body.decode().split("\n")[:-1]]


def _write(pairs: list[Pair], path: pathlib.Path, older: str) -> None:
    """Under another name first, for runs begin side by side; what older code made goes."""
    body = "".join(f"{source}\t{target}\n" for source, target in pairs).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    temporary.replace(path)
    for other in path.parent.glob(older):
        if other != path:
            other.unlink(missing_ok=True)
