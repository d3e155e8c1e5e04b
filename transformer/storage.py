"""Paths on disk and in Google Cloud Storage buckets, with one interface: that of `pathlib.Path`.

Commands turn the text of a flag or a setting into a path here, and nowhere else. A path in a bucket needs the extra
`gcs`; `transformer.buckets` implements it.
"""

import os
import pathlib
import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # of two letters or more: C:/ is a drive
_BUCKET = re.compile(r"gs://[^/]+(/|$)")


def path(text: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the path that `text` names: gs://BUCKET/FOLDER in a bucket, everything else on disk.

    The first path in a bucket checks that the bucket can be read.

    Raises:
      ValueError: a URL of another kind, or the extra `gcs` is missing.
      FileNotFoundError: the bucket does not exist.
      PermissionError: the credentials do not allow to read it, or there are none.
    """
    text = os.fspath(text)
    check_url(text)
    if not _BUCKET.match(text):
        return pathlib.Path(text)
    try:
        from transformer import buckets
    except ImportError as error:
        raise ValueError(f"{text}: needs the extra `gcs` ({error}): pip install -e '.[gcs]'") from error
    return buckets.open_path(text)


def check_url(text: str) -> None:
    """Raises ValueError for a URL that is not gs://BUCKET or below it."""
    if _URL.match(text) and not _BUCKET.match(text):
        raise ValueError(f"{text}: not a path; of URLs, only gs://BUCKET/FOLDER is supported")


def in_bucket(path: pathlib.PurePath) -> bool:
    """Whether the path is in a bucket."""
    return bool(_BUCKET.match(str(path)))


def upload_folder(source: pathlib.Path, folder: pathlib.Path) -> None:
    """Copies all files of a folder on disk into a folder in a bucket."""
    from transformer import buckets

    for path in source.rglob("*"):
        if path.is_file():
            buckets.upload(path, folder / path.relative_to(source).as_posix())


def create(path: pathlib.Path, text: str) -> None:
    """Writes a file that must not exist: of several processes, one succeeds; raises FileExistsError otherwise."""
    if in_bucket(path):
        from transformer import buckets

        buckets.create(path, text.encode())
    else:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)


def renew(path: pathlib.Path) -> None:
    """Sets the modification time of an existing file to now.

    Raises:
      FileNotFoundError: there is no such file.
    """
    if in_bucket(path):
        from transformer import buckets

        buckets.renew(path)
    else:
        os.utime(path)
