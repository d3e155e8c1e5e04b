"""Leases on names, for processes and hosts that share nothing but a folder.

A lease on a name is the file NAME.GENERATION, whose modification time its holder updates regularly. Creating a file
that must not exist is atomic, on network file systems and in buckets too: of two processes that want a name, one gets
it. A holder whose file is older than the expiry counts as dead, and so does a process of this machine that no longer
runs; the next process acquires the name as the next generation. A holder that was only slow finds that its generation
is no longer the latest, and must stop.

A holder keeps its lease until it sees a newer generation. A file system that fails for a moment (ESTALE, EIO, ENOSPC)
delays a renewal to the next one, a sixth of the expiry later. Two hosts may therefore differ in time by 5/6 of the
expiry, less the time for which renewals fail.
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

from transformer import storage

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
        """Whether no other process is seen to have the name; true while the folder or the file cannot be read."""
        name, generation = _split_name(self.path)
        try:
            if (_latest(self.path.parent, name) or 0) > generation:
                return False
            return json.loads(self.path.read_text(encoding="utf-8")).get("token", self._token) == self._token
        except (OSError, ValueError):
            return True

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.release()

    def release(self) -> None:
        """Deletes the file if this process still holds the lease. If that fails, the lease expires."""
        if self.held():
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _renew(self) -> None:
        while not self._stop.wait(self._interval):
            with contextlib.suppress(OSError):  # of the file system, or the file is another process's: see below
                storage.renew(self.path)
            # A process that was overtaken removes its file within moments: only a lasting successor counts.
            if not self.held() and not self._stop.wait(min(1.0, self._interval)) and not self.held():
                print(f"{self.path}: lost to another process; this process exits", file=sys.stderr, flush=True)
                os._exit(LEASE_LOST)


def acquire(folder: pathlib.Path, name: str, expiry: float) -> Lease | None:
    """Acquires the lease on a name; returns None if another process holds it.

    Args:
      folder: folder of all leases; created if missing.
      name: the name; part of a file name.
      expiry: seconds after the last renewal until the holder counts as dead.

    Raises:
      OSError: the folder cannot be created, listed or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generation = _latest(folder, name)
    previous = None if generation is None else folder / f"{name}.{generation}"
    if previous is not None and _alive(previous, expiry):
        return None
    path = folder / f"{name}.{0 if generation is None else generation + 1}"
    token = uuid.uuid4().hex
    try:
        storage.create(path, json.dumps({"host": socket.gethostname(), **_process(os.getpid()), "token": token}))
    except FileExistsError:
        if _read(path).get("token") != token:  # equal if the answer to the first of two requests to a bucket was lost
            return None  # another process was faster
    lease = Lease(path, token, expiry)
    # The dead holder's file may have been deleted, and a new holder may have created one of the same name since.
    if not lease.held() or (previous is not None and _alive(previous, expiry)):
        path.unlink(missing_ok=True)
        return None
    if previous is not None:
        previous.unlink(missing_ok=True)
    return lease


def holder(folder: pathlib.Path, name: str, expiry: float) -> str | None:
    """Returns host and process id of the holder of `name`, as text, or None; "unknown" if the folder cannot be read."""
    try:
        generation = _latest(folder, name)
    except OSError:
        return "unknown"
    if generation is None or not _alive(folder / f"{name}.{generation}", expiry):
        return None
    content = _read(folder / f"{name}.{generation}")
    return f"{content.get('host', '?')}, process {content.get('pid', '?')}"


def _split_name(path: pathlib.Path) -> tuple[str, int]:
    name, _, generation = path.name.rpartition(".")
    return name, int(generation)


def _latest(folder: pathlib.Path, name: str) -> int | None:
    # Not `glob`, for which a folder that it may not list is empty.
    files = folder.iterdir() if folder.exists() else ()
    leases = (_split_name(path) for path in files if path.name.rpartition(".")[2].isdigit())
    return max((generation for other, generation in leases if other == name), default=None)


def _read(path: pathlib.Path) -> dict[str, object]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}  # released in this moment, still being written, or unreadable


def _process(pid: int) -> dict[str, object]:
    """Returns what identifies a process of this machine; only its id where there is no /proc.

    Two containers may have one host name, and two processes in them one id: the boot and the namespace of process ids
    tell them apart. The start time tells a process from a later one with its id.

    Raises:
      OSError: there is no such process.
    """
    proc = pathlib.Path("/proc")
    if not (proc / "self/ns/pid").exists():
        return {"pid": pid}
    start = (proc / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    boot = (proc / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return {"pid": pid, "start": start, "boot": boot, "namespace": os.readlink(proc / "self/ns/pid")}


def _alive(path: pathlib.Path, expiry: float) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    except OSError:
        return True  # not known to be dead
    if age > expiry:
        return False
    content = _read(path)
    here = _process(os.getpid())
    same_machine = "boot" in here and all(content.get(key) == here[key] for key in ("boot", "namespace"))
    if not same_machine or content.get("host") != socket.gethostname() or not isinstance(content.get("pid"), int):
        return True
    try:
        return _process(int(str(content["pid"])))["start"] == content.get("start")
    except OSError:
        return False  # it has exited
