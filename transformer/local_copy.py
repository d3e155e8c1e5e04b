"""Copies on disk of files and folders in buckets, for libraries that read only from disk."""

import os
import pathlib
import shutil
import tempfile

import platformdirs

from transformer import atomic_file, storage

_CACHE = "transformer-research"


def local_copy(path: pathlib.Path) -> pathlib.Path:
    """Returns a copy on disk of a file or a folder in a bucket; a path on disk as it is.

    The copy is in the user's folder for caches. Of a folder, only the files that have changed are downloaded again.

    Raises:
      FileNotFoundError: there is nothing of this name in the bucket.
    """
    if not storage.in_bucket(path):
        return path
    from transformer import buckets

    cache = _cache()
    copy = cache / str(path).removeprefix("gs://")
    for name, size, time in buckets.files(path):
        file = cache / name
        if not _is_current(file, size, time):
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file.writer(file, per_process=True) as output, buckets.at(name).open("rb") as content:
                shutil.copyfileobj(content, output, 1 << 24)
            os.utime(file, (time, time))
    return copy


def _is_current(file: pathlib.Path, size: int, time: float) -> bool:
    status = file.stat() if file.exists() else None
    return status is not None and status.st_size == size and abs(status.st_mtime - time) < 1e-3


def _cache() -> pathlib.Path:
    """Returns the folder for local copies; a temporary one if the user's folder for caches cannot be written."""
    folder = platformdirs.user_cache_path(_CACHE, appauthor=False) / "buckets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return pathlib.Path(tempfile.mkdtemp(prefix=f"{_CACHE}-"))
    return folder
