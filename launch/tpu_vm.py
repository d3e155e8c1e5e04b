"""One Cloud TPU slice, as gcloud's command lines: made, looked at, filled with the code, started, deleted.

A slice has one or more hosts, which gcloud calls workers. What runs on all of them is a line for their shell; it is
detached from the connection, and its log, its end and the lock that says it lives are files in the worker's home.
"""

import re
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from experiments.runs.workdir import commit
from launch.command_line import ROOT
from launch.shell import LineError, Shell

CODE = "transformer-research"  # folder in each worker's home
STATE = "transformer-research.run"  # beside it: lock, log, status
PYTHON = "3.12"  # the images' own is 3.10, which is older than the code allows

# Runtime versions for JAX: cloud.google.com/tpu/docs/runtimes, "TPU software versions", read in November 2026.
RUNTIMES = {
    "v2": "tpu-ubuntu2204-base",
    "v3": "tpu-ubuntu2204-base",
    "v4": "tpu-ubuntu2204-base",
    "v5litepod": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}
_ALIASES = {"v5e": "v5litepod"}  # what people say, and what gcloud calls it
# The number in an accelerator's name counts chips in the one, and cores, two a chip, in the other.
_NAMED_BY_CHIPS = ("v5litepod", "v6e")
_ONE_HOST = 8  # the largest such number that one host has

# The states in which a slice is lost and can be deleted: of a node, and of a queued resource.
GONE = ("PREEMPTED", "TERMINATED", "STOPPED", "SUSPENDED", "FAILED")
READY = "READY"
_LONG = 1800.0  # seconds after which a connection is given up: a host that goes away may not say so


class MissingError(LineError):
    """There is no such slice."""


class Accelerator(NamedTuple):
    """What is asked for.

    Attributes:
      kind: "v5litepod", "v4" and so on.
      size: the number in its name.
    """

    kind: str
    size: int

    @classmethod
    def parse(cls, text: str) -> "Accelerator":
        """From "v5litepod-16", or the common "v5e-16".

        Raises:
          ValueError: not of that form.
        """
        found = re.fullmatch(r"([a-z0-9]+)-(\d+)", text)
        if not found or not int(found[2]):
            raise ValueError(f"--accelerator={text}: not of the form KIND-SIZE, such as v5litepod-16, v6e-8 or v4-32")
        return cls(_ALIASES.get(found[1], found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.kind}-{self.size}"

    @property
    def chips(self) -> int:
        """What is paid for."""
        return self.size if self.kind in _NAMED_BY_CHIPS else max(1, self.size // 2)

    @property
    def several_hosts(self) -> bool:
        """Whether one run is several processes."""
        return self.size > _ONE_HOST

    def runtime(self) -> str:
        """The image's version.

        Raises:
          ValueError: not known here.
        """
        if self.kind not in RUNTIMES:
            raise ValueError(f"--accelerator={self}: its runtime version is not known here; give --runtime_version")
        return RUNTIMES[self.kind]


class Slice:
    """A slice that exists or is to exist.

    Args:
      shell: where command lines go.
      name: of the slice, and of its queued resource.
      where: flags of every line: zone and project.
      accelerator, runtime: what is asked for; needed for `create`.
      spot: cheap, and may be taken away at any time.
      queued: ask by a queued resource, which waits until there is one.
    """

    def __init__(
        self,
        shell: Shell,
        name: str,
        where: Sequence[str],
        accelerator: Accelerator | None = None,
        runtime: str = "",
        spot: bool = False,
        queued: bool = False,
    ) -> None:
        self.shell, self.name = shell, name
        self._where = tuple(where)
        self._accelerator, self._runtime = accelerator, runtime
        self._spot, self._queued = spot, queued

    def _node(self, *words: str) -> tuple[str, ...]:
        return ("gcloud", "compute", "tpus", "tpu-vm", *words, *self._where)

    def _request(self, *words: str) -> tuple[str, ...]:
        return ("gcloud", "compute", "tpus", "queued-resources", *words, *self._where)

    def create(self) -> None:
        """Asks for the slice; from when it is there, it costs money."""
        spot = ("--spot",) if self._spot else ()
        kind = f"--accelerator-type={self._accelerator}"
        if self._queued:
            asked = (f"--node-id={self.name}", kind, f"--runtime-version={self._runtime}", *spot)
            self.shell.run(*self._request("create", self.name), *asked)
        else:
            self.shell.run(*self._node("create", self.name), kind, f"--version={self._runtime}", *spot)

    def delete(self) -> None:
        """Ends all costs; the slice's disks go with it."""
        if self._queued:
            self.shell.run(*self._request("delete", self.name), "--quiet", "--force")
        else:
            self.shell.run(*self._node("delete", self.name), "--quiet")

    def state(self) -> str:
        """READY, one of GONE, or another that will change by itself; "" in a dry run.

        Raises:
          MissingError: there is no such slice.
          LineError: that could not be learnt.
        """
        try:
            if self._queued:
                state = self.shell.read(*self._request("describe", self.name), "--format=value(state.state)").strip()
                if state != "ACTIVE" and not self.shell.dry_run:
                    return state
            return self.shell.read(*self._node("describe", self.name), "--format=value(state)").strip()
        except LineError as error:
            if "NOT_FOUND" in str(error):
                raise MissingError(f"there is no slice {self.name} (any more)") from error
            raise

    def exists(self) -> bool:
        """Whether there is such a slice, in whatever state; raises LineError if that could not be learnt."""
        try:
            self.state()
        except MissingError:
            return False
        return True

    def setup(self, prepare: str) -> None:
        """Copies the code to every worker, and installs it there.

        Args:
          prepare: a line for each worker's shell before that, such as one that mounts a file share.
        """
        with tempfile.TemporaryDirectory() as folder:
            packed = Path(folder, f"{CODE}.tar.gz")
            if self.shell.dry_run:
                packed = Path(packed.name)
                self.shell.say(f"{packed} is made of the repository's files")
            else:
                pack(packed)
            self.shell.run(*self._node("scp", str(packed), f"{self.name}:"), "--worker=all", "--quiet", timeout=_LONG)
        self._on_workers(" && ".join([prepare, _INSTALL] if prepare else [_INSTALL]))

    def start(self, line: str) -> None:
        """Starts a shell's line in the code's folder on every worker; it outlives the connection.

        Raises:
          LineError: on some worker one is running already.
        """
        self._on_workers(_START.replace("LINE", shlex.quote(_KEPT.replace("LINE", line))))

    def statuses(self) -> list[str]:
        """Of each worker: "running", an exit status, "lost" (it ended without one) or "none" (it was never started)."""
        said = self.shell.read(*self._ssh("all", _ASK))
        return re.findall(r"train-status (\w+)", said)

    def logs(self, worker: str, lines: int, follow: bool) -> None:
        """Shows the end of a worker's log."""
        self.shell.run(*self._ssh(worker, f"tail -n {lines}{' -f' if follow else ''} ~/{STATE}/log"))

    def fetch(self, path: str, to: str) -> None:
        """Copies a folder of the first worker here; a relative path begins in the code's folder."""
        if not self.shell.dry_run:
            Path(to).mkdir(parents=True, exist_ok=True)  # else its name would become the copy's
        there = path if path.startswith("/") else f"{CODE}/{path}"
        self.shell.run(*self._node("scp", "--recurse", f"{self.name}:{there}", to), "--worker=0", "--quiet")

    def _ssh(self, worker: str, line: str) -> tuple[str, ...]:
        return (*self._node("ssh", self.name), f"--worker={worker}", "--quiet", f"--command={line}")

    def _on_workers(self, line: str) -> None:
        self.shell.run(*self._ssh("all", line), timeout=_LONG)


# A newer pip writes beside a system's packages only if told so; an older one does not know the flag for it, but ignores
# the variable.
_INSTALL = (
    f"mkdir -p ~/{CODE} && tar -xzf ~/{CODE}.tar.gz -C ~/{CODE} && cd ~/{CODE}"
    " && PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv"
    f" && (test -x .venv/bin/python || python3 -m uv venv --quiet --python={PYTHON} .venv)"
    " && python3 -m uv pip install --quiet --python=.venv/bin/python -e '.[tpu]'"
)

# The open file 9 is the lock: it is held for as long as any process has it, and by no process that has died.
_START = (
    f"mkdir -p ~/{STATE} && cd ~/{CODE} && exec 9>~/{STATE}/lock"
    " && (flock -n 9 || { echo 'a run is going on here already' >&2; exit 1; })"
    f" && rm -f ~/{STATE}/status && (setsid sh -c LINE >>~/{STATE}/log 2>&1 </dev/null &)"
)

_KEPT = f"LINE; echo $? >~/{STATE}/status"

# The status is looked at twice: a run may end, and write it, between the first look and the try of the lock.
_ASK = (
    f"if test -s ~/{STATE}/status; then echo train-status $(cat ~/{STATE}/status);"
    f" elif ! test -e ~/{STATE}/lock; then echo train-status none;"
    f" elif ! flock -n ~/{STATE}/lock true; then echo train-status running;"
    f" elif test -s ~/{STATE}/status; then echo train-status $(cat ~/{STATE}/status); else echo train-status lost; fi"
)


def pack(path: Path) -> None:
    """Packs the repository's files, committed or not, but none that git ignores; and the commit in the file `.commit`.

    Raises:
      ValueError: the code does not lie in a git repository.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise ValueError(f"{ROOT}: not a git repository, and git says which files to copy")
    with tarfile.open(path, "w:gz") as archive:
        for name in _present(listed.stdout.split("\0")):
            archive.add(ROOT / name, name)
        content = f"{commit()}\n".encode()
        noted = tarfile.TarInfo(".commit")
        noted.size = len(content)
        archive.addfile(noted, BytesIO(content))


def _present(names: Iterable[str]) -> Iterable[str]:
    """Without files that are deleted but not yet from git."""
    return (name for name in names if name and (ROOT / name).exists())
