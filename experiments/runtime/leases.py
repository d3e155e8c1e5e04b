"""Leases on names, for processes and hosts that share nothing but a folder.

A lease on a name is the file NAME.GENERATION, whose modification time its holder updates regularly. Creating a file
that must not exist is atomic, on network file systems too: of two processes that want a name, one gets it. A holder
whose file is older than the expiry counts as dead, and so does a process of this host that no longer runs; the next
process acquires the name as the next generation. A holder that was only slow finds that its generation is no longer the
latest, and must stop.
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

LEASE_LOST = 75  # exit status of a process that lost its lease; EX_TEMPFAIL of sysexits.h


class Lease:
    """The right of this process to work on a name. A context manager: renews the lease inside, releases it at exit.

    A process that loses its lease, because it was suspended for longer than the expiry, exits at once with status
    `LEASE_LOST`: another process now writes the same files.
    """

    def __init__(self, path: pathlib.Path, token: str, expiry: float) -> None:
        self.path, self._token = path, token
        self._interval = expiry / 6
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def held(self) -> bool:
        """Whether no other process has acquired the name since."""
        name, generation = _split_name(self.path)
        return _latest(self.path.parent, name) == generation and _read(self.path).get("token") == self._token

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.held():
            self.path.unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._stop.wait(self._interval):
            with contextlib.suppress(FileNotFoundError):  # another process has the name, or the folder was deleted
                os.utime(self.path)
            if not self.held():
                print(f"{self.path}: lost to another process; this process exits", file=sys.stderr, flush=True)
                os._exit(LEASE_LOST)


def acquire(folder: pathlib.Path, name: str, expiry: float) -> Lease | None:
    """Acquires the lease on a name; returns None if another process holds it.

    Args:
      folder: folder of all leases; created if missing.
      name: the name; part of a file name.
      expiry: seconds after the last renewal until the holder counts as dead. The clocks of hosts must differ by less.
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
        return None  # another process was faster
    if generation is not None:
        (folder / f"{name}.{generation}").unlink(missing_ok=True)
    lease = Lease(path, token, expiry)
    return lease if lease.held() else None


def holder(folder: pathlib.Path, name: str, expiry: float) -> str | None:
    """Returns host and process id of the holder of `name`, as text, or None."""
    generation = _latest(folder, name)
    if generation is None or not _alive(folder / f"{name}.{generation}", expiry):
        return None
    content = _read(folder / f"{name}.{generation}")
    return f"{content.get('host', '?')}, process {content.get('pid', '?')}"


def _split_name(path: pathlib.Path) -> tuple[str, int]:
    name, _, generation = path.name.rpartition(".")
    return name, int(generation)


def _latest(folder: pathlib.Path, name: str) -> int | None:
    leases = (_split_name(path) for path in folder.glob("*.*") if path.name.rpartition(".")[2].isdigit())
    return max((generation for other, generation in leases if other == name), default=None)


def _read(path: pathlib.Path) -> dict[str, object]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}  # the lease has just been released, or the file is being written


def _alive(path: pathlib.Path, expiry: float) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    if age > expiry:
        return False
    content = _read(path)
    if content.get("host") != socket.gethostname() or not isinstance(content.get("pid"), int):
        return True
    return not pathlib.Path("/proc").exists() or pathlib.Path(f"/proc/{content['pid']}").exists()
