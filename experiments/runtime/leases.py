"""Who works on what, for processes and hosts that share nothing but a folder.

A claim on a name is the file NAME.GENERATION, which its owner touches every now and then. Making a file that must not
exist yet is atomic, on network file systems too: of two that want a name, one gets it. An owner that has not touched
its claim for long is taken for dead, and so is a process of this host that no longer runs; the name is then claimed
anew, as the next generation. An owner that was only slow finds that its claim is no longer the latest, and must stop.
"""

import contextlib
import json
import os
import pathlib
import socket
import sys
import threading
import time
import uuid
from types import TracebackType

LOST = 75  # exit status: to be tried again (EX_TEMPFAIL of sysexits.h)


class Claim:
    """A name that is ours. As a context manager it is kept alive, and given back at the end.

    A process that loses its claim all the same, because it stood still for longer than the expiry, is ended at once:
    what it would still write is another's by now.

    Attributes:
      path: the file.
    """

    def __init__(self, path: pathlib.Path, token: str, expiry: float) -> None:
        self.path, self._token = path, token
        self._every = expiry / 6
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)

    def ours(self) -> bool:
        """Whether nobody has taken the name for abandoned."""
        name, generation = _parts(self.path)
        return _latest(self.path.parent, name) == generation and _read(self.path).get("token") == self._token

    def __enter__(self) -> "Claim":
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if self.ours():
            self.path.unlink(missing_ok=True)

    def _keep_alive(self) -> None:
        while not self._stop.wait(self._every):
            with contextlib.suppress(FileNotFoundError):  # taken, or the folder was deleted under us
                os.utime(self.path)
            if not self.ours():
                print(f"{self.path}: lost to another process; this one ends", file=sys.stderr, flush=True)
                os._exit(LOST)


def claim(folder: pathlib.Path, name: str, expiry: float) -> Claim | None:
    """The name as ours, or None if somebody works on it.

    Args:
      folder: of all claims; made if missing.
      name: what is claimed; a file's name.
      expiry: seconds without a sign of life after which an owner is taken for dead. Hosts' clocks may differ by less.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generation = _latest(folder, name)
    if generation is not None and _alive(folder / f"{name}.{generation}", expiry):
        return None
    path = folder / f"{name}.{0 if generation is None else generation + 1}"
    token = uuid.uuid4().hex
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump({"host": socket.gethostname(), "pid": os.getpid(), "token": token}, file)
    except FileExistsError:
        return None  # somebody was faster
    if generation is not None:
        (folder / f"{name}.{generation}").unlink(missing_ok=True)
    made = Claim(path, token, expiry)
    return made if made.ours() else None


def owner(folder: pathlib.Path, name: str, expiry: float) -> str | None:
    """Host and process that work on `name`, or None."""
    generation = _latest(folder, name)
    if generation is None or not _alive(folder / f"{name}.{generation}", expiry):
        return None
    known = _read(folder / f"{name}.{generation}")
    return f"{known.get('host', '?')}, process {known.get('pid', '?')}"


def _parts(path: pathlib.Path) -> tuple[str, int]:
    name, _, generation = path.name.rpartition(".")
    return name, int(generation)


def _latest(folder: pathlib.Path, name: str) -> int | None:
    found = (_parts(path) for path in folder.glob("*.*") if path.name.rpartition(".")[2].isdigit())
    return max((generation for other, generation in found if other == name), default=None)


def _read(path: pathlib.Path) -> dict[str, object]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}  # just given back, or just being written


def _alive(path: pathlib.Path, expiry: float) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    if age > expiry:
        return False
    known = _read(path)
    if known.get("host") != socket.gethostname() or not isinstance(known.get("pid"), int):
        return True
    return not pathlib.Path("/proc").exists() or pathlib.Path(f"/proc/{known['pid']}").exists()
