"""A cache of generated pairs: generating 50,000 pairs takes seconds, reading them a tenth of a second.

The file name contains a hash of the code that generates the pairs.
"""

import contextlib
import hashlib
import pathlib
from collections.abc import Callable, Iterable

from transformer import atomic_file
from transformer.data.pairs import Pair

_CACHED_SIZES = range(10_000, 1_000_001)  # pairs; fewer are generated quickly, more need much disk space


def cached_pairs(
    folder: pathlib.Path | None, name: str, size: int, code_folder: pathlib.Path, generate: Callable[[], Iterable[Pair]]
) -> list[Pair]:
    """Returns the pairs of `generate`, from the cache if the same code has generated them before.

    A damaged cache file is replaced. If the cache cannot be written, the pairs are generated each time.

    Args:
      folder: the cache, which is created if needed; None disables it.
      name: the split, part of the file name.
      size: number of pairs, part of the file name.
      code_folder: the folder of all code that the pairs depend on.
    """
    if folder is None or size not in _CACHED_SIZES or not code_folder.is_dir():
        return list(generate())
    path = folder / f"{name}-{size}-{_hash_of(code_folder)}.tsv"
    pairs = _read(path)
    if pairs is None:
        pairs = list(generate())
        with contextlib.suppress(OSError):
            _write(pairs, path, f"{name}-{size}-*.tsv")
    return pairs


def _hash_of(folder: pathlib.Path) -> str:
    digest = hashlib.sha256()
    for path in sorted((*folder.rglob("*.py"), *folder.rglob("*.tsv"))):  # rules and lexicon tables
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


def _write(pairs: list[Pair], path: pathlib.Path, older_files: str) -> None:
    """Writes the pairs atomically, as several runs may start at the same time, and deletes files of older code."""
    body = "".join(f"{source}\t{target}\n" for source, target in pairs).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file.writer(path, per_process=True) as file:
        file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    for other in path.parent.glob(older_files):
        if other != path:
            other.unlink(missing_ok=True)
