"""A Cloud TPU slice, driven by gcloud command lines: create, describe, copy the code, start training, delete.

A slice has one or more hosts, which gcloud calls workers. Each worker runs a shell line that is detached from the ssh
connection. Its log, its exit status and the lock that shows that it is alive are files in the worker's home.
"""

import dataclasses
import re
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from experiments.runs.workdir import commit
from launch.command_line import ROOT
from launch.shell import CommandError, Shell

CODE_DIR = "transformer-research"  # folder in each worker's home
STATE_DIR = "transformer-research.run"  # next to it: lock, log, status
PYTHON = "3.12"  # the images have 3.10, which is too old for this code

# Runtime versions for JAX: cloud.google.com/tpu/docs/runtimes, "TPU software versions", read in November 2026.
RUNTIME_VERSIONS = {
    "v2": "tpu-ubuntu2204-base",
    "v3": "tpu-ubuntu2204-base",
    "v4": "tpu-ubuntu2204-base",
    "v5litepod": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}
_ALIASES = {"v5e": "v5litepod"}  # the common name, and gcloud's
# The number in an accelerator type counts chips for these generations, and cores, two per chip, for the others.
_COUNTED_IN_CHIPS = ("v5litepod", "v6e")
_MAX_SINGLE_HOST = 8  # the largest such number of a slice with one host

# States of a node or of a queued resource in which the slice is lost and can be deleted.
LOST_STATES = ("PREEMPTED", "TERMINATED", "STOPPED", "SUSPENDED", "FAILED")
READY = "READY"
_TIMEOUT = 1800.0  # seconds; a host that disappears may never close the connection


class NotFoundError(CommandError):
    """The slice does not exist."""


class Accelerator(NamedTuple):
    """An accelerator type: its generation, such as "v5litepod" or "v4", and the number in its name."""

    generation: str
    size: int

    @classmethod
    def parse(cls, text: str) -> "Accelerator":
        """Parses "v5litepod-16", or the common alias "v5e-16".

        Raises:
          ValueError: `text` does not have that form.
        """
        match = re.fullmatch(r"([a-z0-9]+)-(\d+)", text)
        if not match or not int(match[2]):
            raise ValueError(f"--accelerator={text}: not of the form KIND-SIZE, such as v5litepod-16, v6e-8 or v4-32")
        return cls(_ALIASES.get(match[1], match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.generation}-{self.size}"

    @property
    def chips(self) -> int:
        """Number of chips, the unit of billing."""
        return self.size if self.generation in _COUNTED_IN_CHIPS else max(1, self.size // 2)

    @property
    def multi_host(self) -> bool:
        """Whether the slice has several hosts, and a run several processes."""
        return self.size > _MAX_SINGLE_HOST

    def runtime_version(self) -> str:
        """Returns the version of the hosts' image.

        Raises:
          ValueError: `RUNTIME_VERSIONS` does not list the generation.
        """
        if self.generation not in RUNTIME_VERSIONS:
            raise ValueError(f"--accelerator={self}: unknown runtime version; give --runtime_version")
        return RUNTIME_VERSIONS[self.generation]


@dataclasses.dataclass(frozen=True)
class TpuVm:
    """A slice that exists or will be created.

    Attributes:
      shell: runs the command lines.
      name: name of the slice and of its queued resource.
      location: flags of every command line: zone and project.
      accelerator: accelerator type; needed for `create`.
      runtime_version: version of the hosts' image; needed for `create`.
      spot: request a spot slice, which is cheaper and may be preempted at any time.
      queued: request a queued resource, which waits for capacity.
    """

    shell: Shell
    name: str
    location: Sequence[str]
    accelerator: Accelerator | None = None
    runtime_version: str = ""
    spot: bool = False
    queued: bool = False

    def _node_command(self, *words: str) -> tuple[str, ...]:
        return ("gcloud", "compute", "tpus", "tpu-vm", *words, *self.location)

    def _queue_command(self, *words: str) -> tuple[str, ...]:
        return ("gcloud", "compute", "tpus", "queued-resources", *words, *self.location)

    def create(self) -> None:
        """Requests the slice, which costs money from when it is ready."""
        kind, spot = f"--accelerator-type={self.accelerator}", ("--spot",) if self.spot else ()
        if self.queued:
            options = (f"--node-id={self.name}", kind, f"--runtime-version={self.runtime_version}", *spot)
            self.shell.run(*self._queue_command("create", self.name), *options)
        else:
            self.shell.run(*self._node_command("create", self.name), kind, f"--version={self.runtime_version}", *spot)

    def delete(self) -> None:
        """Deletes the slice and its disks, which stops all costs."""
        if self.queued:
            self.shell.run(*self._queue_command("delete", self.name), "--quiet", "--force")
        else:
            self.shell.run(*self._node_command("delete", self.name), "--quiet")

    def state(self) -> str:
        """Returns READY, one of LOST_STATES, or a transitional state; "" in a dry run.

        Raises:
          NotFoundError: the slice does not exist.
          CommandError: gcloud failed.
        """
        try:
            if self.queued:
                describe = self._queue_command("describe", self.name)
                state = self.shell.capture(*describe, "--format=value(state.state)").strip()
                if state != "ACTIVE" and not self.shell.dry_run:
                    return state
            return self.shell.capture(*self._node_command("describe", self.name), "--format=value(state)").strip()
        except CommandError as error:
            if "NOT_FOUND" in str(error):
                raise NotFoundError(f"the slice {self.name} does not exist, or was deleted") from error
            raise

    def exists(self) -> bool:
        """Returns whether the slice exists, in any state; raises CommandError if gcloud failed."""
        try:
            self.state()
        except NotFoundError:
            return False
        return True

    def setup(self, prepare: str) -> None:
        """Copies the code to every worker and installs it, after the shell line `prepare`, which may mount storage."""
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, f"{CODE_DIR}.tar.gz")
            if self.shell.dry_run:
                archive = Path(archive.name)
                self.shell.report(f"{archive} is made of the repository's files")
            else:
                pack_repository(archive)
            copy = self._node_command("scp", str(archive), f"{self.name}:")
            self.shell.run(*copy, "--worker=all", "--quiet", timeout=_TIMEOUT)
        self.shell.run(*self._ssh("all", f"{prepare} && {_INSTALL}" if prepare else _INSTALL), timeout=_TIMEOUT)

    def start(self, line: str) -> None:
        """Starts a shell line in the code's folder on every worker, detached from the connection.

        Raises:
          CommandError: a line is already running on one of the workers.
        """
        script = shlex.quote(f"{line}; echo $? >~/{STATE_DIR}/status")
        self.shell.run(*self._ssh("all", _START.replace("LINE", script)), timeout=_TIMEOUT)

    def statuses(self) -> list[str]:
        """Returns the status of each worker: "running", an exit status, "lost" or "none".

        "lost": killed before it could write an exit status. "none": never started.
        """
        return re.findall(r"train-status (\w+)", self.shell.capture(*self._ssh("all", _PRINT_STATUS)))

    def logs(self, worker: str, lines: int, follow: bool) -> None:
        """Prints the last lines of a worker's log."""
        self.shell.run(*self._ssh(worker, f"tail -n {lines}{' -f' if follow else ''} ~/{STATE_DIR}/log"))

    def fetch(self, path: str, to: str) -> None:
        """Copies a folder of the first worker, or in a bucket, to this machine.

        A relative path starts in the code's folder.
        """
        if not self.shell.dry_run:
            Path(to).mkdir(parents=True, exist_ok=True)  # otherwise scp gives the copy this name
        if path.startswith("gs://"):
            self.shell.run("gcloud", "storage", "cp", "--recursive", path, to)
            return
        remote = path if path.startswith("/") else f"{CODE_DIR}/{path}"
        self.shell.run(*self._node_command("scp", "--recurse", f"{self.name}:{remote}", to), "--worker=0", "--quiet")

    def _ssh(self, worker: str, line: str) -> tuple[str, ...]:
        return (*self._node_command("ssh", self.name), f"--worker={worker}", "--quiet", f"--command={line}")


# A newer pip installs next to a system's packages only with this setting. An older pip does not know the flag for it,
# but ignores the variable.
_INSTALL = (
    f"mkdir -p ~/{CODE_DIR} && tar -xzf ~/{CODE_DIR}.tar.gz -C ~/{CODE_DIR} && cd ~/{CODE_DIR}"
    " && PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv"
    f" && (test -x .venv/bin/python || python3 -m uv venv --quiet --python={PYTHON} .venv)"
    " && python3 -m uv pip install --quiet --python=.venv/bin/python -e '.[tpu,gcs]'"
)

# File descriptor 9 is the lock: it is held as long as any process has it open, and never by a process that has died.
_START = (
    f"mkdir -p ~/{STATE_DIR} && cd ~/{CODE_DIR} && exec 9>~/{STATE_DIR}/lock"
    " && (flock -n 9 || { echo 'a run is already in progress on this host' >&2; exit 1; })"
    f" && rm -f ~/{STATE_DIR}/status && (setsid sh -c LINE >>~/{STATE_DIR}/log 2>&1 </dev/null &)"
)

# The script reads the status twice: a run may stop and write it between the first read and the test of the lock.
_PRINT_STATUS = (
    f"if test -s ~/{STATE_DIR}/status; then echo train-status $(cat ~/{STATE_DIR}/status);"
    f" elif ! test -e ~/{STATE_DIR}/lock; then echo train-status none;"
    f" elif ! flock -n ~/{STATE_DIR}/lock true; then echo train-status running;"
    f" elif test -s ~/{STATE_DIR}/status; then echo train-status $(cat ~/{STATE_DIR}/status);"
    " else echo train-status lost; fi"
)


def pack_repository(path: Path) -> None:
    """Writes an archive of the repository's files, committed or not, and of the commit id as the file `.commit`.

    Files that git ignores are left out.

    Raises:
      ValueError: the code does not lie in a git repository.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    if listing.returncode:
        raise ValueError(f"{ROOT}: not a git repository, and git lists the files to copy")
    with tarfile.open(path, "w:gz") as archive:
        for name in listing.stdout.split("\0"):
            if name and (ROOT / name).exists():  # git also lists tracked files that were deleted from the working tree
                archive.add(ROOT / name, name)
        content = f"{commit() or ''}\n".encode()
        entry = tarfile.TarInfo(".commit")
        entry.size = len(content)
        archive.addfile(entry, BytesIO(content))
