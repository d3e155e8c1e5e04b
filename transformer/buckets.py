"""Google Cloud Storage: paths like those of `pathlib`, by etils.epath and gcsfs.

A bucket has objects and no folders. Its promises differ from those of a disk: an object appears completely or not at
all, a listing shows every object that was written before it, and an upload can require that the object does not exist,
or is still of a known generation. There is no rename, so that nothing may depend on one.
"""

import contextlib
import functools
import io
import logging
import pathlib
from collections.abc import Iterator
from typing import IO, Any, NamedTuple, cast

import fsspec
import requests
from aiohttp import ClientConnectionError, ClientError
from etils.epath import backend, gpath
from fsspec import asyn
from gcsfs.core import GCSFileSystem
from gcsfs.retry import HttpError
from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, PreconditionFailed, RetryError, Unauthorized
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage import Blob, Client
from google.cloud.storage.retry import DEFAULT_RETRY

_LOGIN = "log in with `gcloud auth application-default login`, or grant the role Storage Object User on the bucket"

_PATIENCE = 30.0  # seconds without an answer to the first request


@contextlib.contextmanager
def _os_errors(name: str) -> Iterator[None]:
    """Turns what gcsfs raises, after its retries, into an OSError of one line."""
    try:
        yield
    except PreconditionFailed as error:
        raise FileExistsError(f"{name}: exists, or has changed") from error
    except NotFound as error:
        raise FileNotFoundError(f"{name}: not found in the bucket") from error
    except (RetryError, requests.ConnectionError, ClientConnectionError) as error:
        raise OSError(f"{name}: Google Cloud Storage does not answer ({_root(error)})") from error
    except (HttpError, GoogleAPIError, GoogleAuthError, requests.RequestException, ClientError) as error:
        lines = str(getattr(error, "message", "") or error).splitlines() or [type(error).__name__]
        denied = isinstance(error, (GoogleAuthError, Forbidden, Unauthorized)) or getattr(error, "code", 0) == 401
        kind, remedy = (PermissionError, f"; {_LOGIN}") if denied else (OSError, "")
        raise kind(f"{name}: {lines[0].partition('. ')[0].rstrip('.')}{remedy}") from error
    except OSError as error:
        text = str(error)
        if not text.startswith("Forbidden"):
            raise
        raise PermissionError(f"{name}: {text.splitlines()[-1]}; {_LOGIN}") from error


def _root(error: BaseException) -> BaseException:
    """Returns the error that caused the others."""
    cause = error.__cause__ or error.__context__
    return error if cause is None else _root(cause)


class _FileSystem(GCSFileSystem):
    """gcsfs without a cache of listings, which other processes would make wrong, and with errors that are OSErrors."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, use_listings_cache=False)

    async def _request(self, method: str, path: str, *args: Any, **options: Any) -> Any:
        with _os_errors("gs://" + "/".join(args) if args else path):
            return await super()._request(method, path, *args, **options)

    async def _isdir(self, path: str) -> bool:
        return await self._type(path) == "directory"

    async def _isfile(self, path: str) -> bool:
        return await self._type(path) == "file"

    async def _type(self, path: str) -> str | None:
        try:  # fsspec would take every error for an answer
            information: Any = await self._info(path)
            return information["type"]
        except FileNotFoundError:
            return None

    async def _mkdir(self, path: str, *args: Any, **options: Any) -> None:
        """Does nothing: gcsfs would create a bucket that does not exist."""

    mkdir = asyn.sync_wrapper(_mkdir)


class File(NamedTuple):
    """An object: BUCKET/NAME, its bytes, and its modification time in seconds since 1970."""

    name: str
    size: int
    time: float


class Status(NamedTuple):
    """What code reads of `os.stat_result`: bytes, and seconds since 1970."""

    st_size: int
    st_mtime: float


class BucketPath(gpath.PosixGPath):
    """A path in a bucket: epath's, with more of the interface of `pathlib.Path`."""

    @property
    def _backend(self) -> backend.Backend:
        _file_system()  # registered also in a process that got this path from another one
        return backend.fsspec_backend  # also where TensorFlow is installed

    def open(  # pyright: ignore[reportIncompatibleMethodOverride]  # pathlib's arguments, not epath's
        self, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None, newline: Any = None
    ) -> IO[Any]:
        """Opens the object; a new one appears when it is closed. "a" writes a longer copy; there is no mode "x"."""
        before = self.read_bytes() if mode[0] == "a" and self.exists() else b""
        file = cast(IO[bytes], _file_system().open(str(self), f"{mode[0].replace('a', 'w')}b"))
        if before:
            file.write(before)
        return file if "b" in mode else io.TextIOWrapper(file, encoding or "utf-8", errors, newline)

    def write_bytes(self, data: Any) -> int:
        """Writes the object in one request."""
        _file_system().pipe_file(str(self), bytes(data))
        return len(data)

    def write_text(self, data: str, encoding: Any = None, errors: Any = None, newline: Any = None) -> int:
        """Writes the object in one request, as UTF-8."""
        return self.write_bytes(data.encode())

    def stat(self) -> Any:
        """Returns the size and the modification time."""
        file = _file(_file_system().info(str(self)))
        return Status(file.size, file.time)

    def is_file(self) -> bool:
        """Whether there is an object of this name; epath takes a folder for one, too."""
        return _file_system().isfile(str(self))

    def absolute(self) -> "BucketPath":
        """Returns the path, which is always absolute."""
        return self

    def rglob(self, pattern: str) -> Iterator["BucketPath"]:
        """Yields all objects below, without folders; the only pattern is "*"."""
        if pattern != "*":
            raise NotImplementedError(f"rglob({pattern!r}) in a bucket")
        yield from map(at, _file_system().find(str(self)))

    def iterdir(self) -> Iterator["BucketPath"]:
        """Yields the objects and folders directly below."""
        paths = map(at, _file_system().ls(str(self), detail=False))
        yield from (path for path in paths if path != self)  # an empty object may stand for the folder itself


def open_path(text: str) -> pathlib.Path:
    """Returns the path of `text`, which begins with gs://, after a check that its bucket can be read."""
    path = BucketPath(text)
    _check_bucket(path.parts[2])  # first: gcsfs looks for credentials three times as long
    _file_system()  # before Orbax opens one
    return cast(pathlib.Path, path)  # it has the methods that this project uses


def at(name: str) -> BucketPath:
    """Returns the path of an object of `files`."""
    return BucketPath(f"gs://{name}")


def upload(source: pathlib.Path, path: pathlib.Path) -> None:
    """Copies a file on disk into a bucket; the object appears when all of it has arrived."""
    _file_system().put_file(str(source), str(path))


def create(path: pathlib.Path, content: bytes) -> None:
    """Writes an object that must not exist: of several processes, one succeeds; raises FileExistsError otherwise."""
    with _os_errors(str(path)):
        _blob(path).upload_from_string(content, if_generation_match=0)


def renew(path: pathlib.Path) -> None:
    """Sets the modification time of an existing object to now: writes it again, unless it has changed or is deleted."""
    with _os_errors(str(path)):
        blob = _blob(path)
        blob.reload()
        content = blob.download_as_bytes(if_generation_match=blob.generation)
        blob.upload_from_string(content, if_generation_match=blob.generation)


def _blob(path: pathlib.Path) -> Blob:
    """Returns a handle of an object in Google's own library, whose requests can require a generation."""
    _, _, bucket, *names = path.parts
    return _client().bucket(bucket).blob("/".join(names))


@functools.cache
def _client() -> Client:
    logging.getLogger("google.auth").setLevel(logging.ERROR)  # its warning precedes the error that says the same
    return Client(project="none")  # only to list or create buckets


def files(path: pathlib.Path) -> list[File]:
    """Returns the object of this name, or the objects below it.

    Raises:
      FileNotFoundError: there are none.
    """
    found: Any = _file_system().find(str(path), detail=True)
    if not found:
        raise FileNotFoundError(f"{path}: not found in the bucket")
    return [_file(information) for information in found.values()]


def _file(information: dict[str, Any]) -> File:
    time = information.get("mtime")
    return File(information["name"], information["size"], time.timestamp() if time else 0.0)


@functools.cache
def _file_system() -> _FileSystem:
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it prints tracebacks of errors that it raises
    fsspec.register_implementation("gcs", _FileSystem, clobber=True)
    fsspec.register_implementation("gs", _FileSystem, clobber=True)
    return cast(_FileSystem, backend.fsspec_backend.fs("gs://"))


@functools.cache
def _check_bucket(name: str) -> None:
    try:
        with _os_errors(f"gs://{name}"):
            # Orbax asks for the bucket's properties, too.
            _client().get_bucket(name, retry=DEFAULT_RETRY.with_timeout(_PATIENCE))
    except FileNotFoundError:
        raise FileNotFoundError(f"gs://{name}: this bucket does not exist") from None
