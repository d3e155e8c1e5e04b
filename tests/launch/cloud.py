"""A stand-in for Cloud TPU: `gcloud` on a folder, with local processes as workers, each with its own home.

    python cloud.py FOLDER compute tpus tpu-vm create ...

Accepts the command lines of launch/tpu_vm.py, and rejects others as gcloud does. A test imports it to preempt a slice.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

FLAGS = {
    "create": {"zone", "accelerator-type", "version", "spot"},
    "describe": {"zone", "format"},
    "delete": {"zone", "quiet"},
    "scp": {"zone", "worker", "recurse", "quiet"},
    "ssh": {"zone", "worker", "command", "quiet"},
}
QUEUE_FLAGS = {
    "create": {"zone", "accelerator-type", "runtime-version", "node-id", "spot"},
    "describe": {"zone", "format"},
    "delete": {"zone", "quiet", "force"},
}
WAITS = 2  # polls of a queued resource before the slice is ready

# A worker's Python: installing packages does nothing, and the virtual environment's Python is the tests'.
PYTHON3 = """#!/bin/sh
case "$*" in
*"uv venv"*)
    mkdir -p .venv/bin
    printf '#!/bin/sh\\nexec %s "$@"\\n' "$STANDIN_PYTHON" >.venv/bin/python
    chmod +x .venv/bin/python
    ;;
*"pip install"*) ;;
*) echo "stand-in python3: $*" >&2; exit 1 ;;
esac
"""


class GcloudError(Exception):
    """An error that gcloud prints before it exits with status 1."""


class Cloud:
    """The folder holds a folder per node with its workers' homes, a file per queued resource, and a call log."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"

    def install(self, python: str = sys.executable) -> None:
        """Writes bin/gcloud; `python` is the command of a worker's virtual environment."""
        for name, text in {
            "bin/gcloud": f'#!/bin/sh\nexec {sys.executable} -S {__file__} {self.folder} "$@"\n',
            "worker-bin/python3": PYTHON3,
        }.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        (self.folder / "python").write_text(python)

    def node(self, name: str) -> pathlib.Path:
        return self.folder / "nodes" / name

    def state(self, name: str) -> str:
        return str(self._read(name)["state"])

    def _read(self, name: str) -> dict[str, object]:
        path = self.node(name) / "node.json"
        if not path.exists():
            raise GcloudError(f"NOT_FOUND: Resource '{name}' was not found")
        return json.loads(path.read_text())

    def _write(self, name: str, **fields: object) -> None:
        path = self.node(name) / "node.json"
        path.with_suffix(".new").write_text(json.dumps(fields))
        path.with_suffix(".new").replace(path)

    def create(self, name: str, accelerator: str) -> None:
        if self.node(name).exists():
            raise GcloudError(f"ALREADY_EXISTS: Resource '{name}' already exists")
        if (self.folder / "no-capacity").exists():
            raise GcloudError("There is no more capacity in the zone")
        kind, size = accelerator.split("-")
        if kind != "v5litepod":
            raise GcloudError(f"INVALID_ARGUMENT: {accelerator}")
        hosts = 1 if int(size) <= 8 else int(size) // 4
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for worker in range(hosts):
            (self.node(name) / str(worker)).mkdir(parents=True)
        self._write(name, state="READY", hosts=hosts, port=port)

    def delete(self, name: str) -> None:
        self._read(name)
        self._signal(name, signal.SIGKILL)
        self._remove(name)

    def _remove(self, name: str) -> None:
        # Rename first: the slice disappears at once, also for processes that poll while its files are deleted.
        deleted = self.folder / "deleted" / f"{name}-{time.monotonic_ns()}"
        deleted.parent.mkdir(exist_ok=True)
        self.node(name).rename(deleted)
        shutil.rmtree(deleted, ignore_errors=True)  # a process that was just killed may still write

    def end(self) -> None:
        """Kills every process of the cloud, also of deleted slices."""
        self._kill(self._marked(f"STANDIN_NODE={self.node('')}/".encode()), signal.SIGKILL)

    def preempt(self, name: str, grace: float = 30.0) -> None:
        """Preempts a slice: its processes get SIGTERM, and SIGKILL after the grace period."""
        node = self._read(name)
        self._signal(name, signal.SIGTERM)
        end = time.monotonic() + grace
        while self.processes(name) and time.monotonic() < end:
            time.sleep(0.02)
        self._signal(name, signal.SIGKILL)
        request = self.folder / "requests" / name
        if request.exists():
            request.write_text(json.dumps(json.loads(request.read_text()) | {"state": "SUSPENDED"}))
            self._remove(name)
        else:
            self._write(name, **(node | {"state": "PREEMPTED"}))

    def processes(self, name: str) -> list[int]:
        """Returns the ids of processes on the slice's workers, found by an environment variable."""
        return self._marked(f"STANDIN_NODE={self.node(name)}\0".encode())

    def _marked(self, mark: bytes) -> list[int]:
        pids: list[int] = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (path / "environ").read_bytes():
                    pids.append(int(path.name))
        return pids

    def _signal(self, name: str, number: int) -> None:
        self._kill(self.processes(name), number)

    def _kill(self, processes: list[int], number: int) -> None:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def ssh(self, name: str, worker: str, line: str) -> int:
        """Runs a shell line on the workers in parallel; returns the highest exit status."""
        hosts = self._ready(name)
        workers = range(hosts) if worker == "all" else [int(worker)]
        with concurrent.futures.ThreadPoolExecutor(hosts) as pool:
            return max(pool.map(lambda index: self._run(name, index, line), workers))

    def _run(self, name: str, worker: int, line: str) -> int:
        node, home = self._read(name), self.node(name) / str(worker)
        environment = os.environ | {
            "HOME": str(home),
            "PATH": f"{self.folder}/worker-bin:{os.environ['PATH']}",
            "STANDIN_NODE": str(self.node(name)),
            "STANDIN_PYTHON": (self.folder / "python").read_text(),
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", "").replace("device_count=2", "device_count=1"),
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{node['port']}",
            "JAX_NUM_PROCESSES": str(node["hosts"]),
            "JAX_PROCESS_ID": str(worker),
        }
        return subprocess.run(["bash", "-c", line], cwd=home, env=environment, check=False).returncode

    def _ready(self, name: str) -> int:
        node = self._read(name)
        if node["state"] != "READY":
            raise GcloudError(f"{name} is not in READY state")
        return int(str(node["hosts"]))

    def scp(self, source: str, target: str, worker: str) -> None:
        if ":" in target:
            name, _, path = target.partition(":")
            hosts = self._ready(name)
            for index in range(hosts) if worker == "all" else [int(worker)]:
                shutil.copy(source, self.node(name) / str(index) / path)
        else:
            name, _, path = source.partition(":")
            self._ready(name)
            folder = self.node(name) / worker / path  # `path` may be absolute
            shutil.copytree(folder, pathlib.Path(target) / folder.name)

    def request(self, verb: str, name: str, flags: dict[str, str]) -> None:
        """Handles a queued resource, whose slice is ready after a few polls."""
        path = self.folder / "requests" / name
        path.parent.mkdir(exist_ok=True)
        if verb == "create":
            if path.exists():
                raise GcloudError(f"ALREADY_EXISTS: Resource '{name}' already exists")
            path.write_text(json.dumps({"state": "WAITING_FOR_RESOURCES", "polls": 0, **flags}))
            return
        if not path.exists():
            raise GcloudError(f"NOT_FOUND: Resource '{name}' was not found")
        request = json.loads(path.read_text())
        if verb == "delete":
            if self.node(request["node-id"]).exists():
                self.delete(request["node-id"])
            path.unlink()
            return
        request["polls"] += 1
        if request["polls"] == WAITS:
            self.create(request["node-id"], request["accelerator-type"])
            request["state"] = "ACTIVE"
        path.write_text(json.dumps(request))
        print(request["state"])


def main(cloud: Cloud, words: list[str]) -> int:
    with cloud.calls.open("a") as calls:
        print(*words[2:5], file=calls)
    service, verb, *rest = words[2:]
    matches = [re.fullmatch(r"--([a-z-]+)(?:=(.*))?", word, re.DOTALL) for word in rest]
    flags = {part[1]: part[2] or "" for part in matches if part}
    names = [word for word, part in zip(rest, matches, strict=True) if not part]
    allowed = (FLAGS if service == "tpu-vm" else QUEUE_FLAGS)[verb]
    if "zone" not in flags or not flags.keys() <= allowed:
        raise GcloudError(f"unrecognized arguments: {flags.keys() ^ allowed}")
    if service == "queued-resources":
        cloud.request(verb, names[0], flags)
    elif verb == "create":
        cloud.create(names[0], flags["accelerator-type"])
    elif verb == "describe":
        print(cloud.state(names[0]))
    elif verb == "delete":
        cloud.delete(names[0])
    elif verb == "scp":
        cloud.scp(names[0], names[1], flags["worker"])
    else:
        return cloud.ssh(names[0], flags["worker"], flags["command"])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Cloud(pathlib.Path(sys.argv[1])), sys.argv[2:]))
    except GcloudError as error:
        print(f"ERROR: (gcloud) {error}", file=sys.stderr)
        sys.exit(1)
