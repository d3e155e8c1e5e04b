"""A stand-in for Cloud TPU: `gcloud` over a folder, whose workers are local processes with homes of their own.

    python cloud.py FOLDER compute tpus tpu-vm create ...

It takes the lines that launch/tpu_vm.py writes, and refuses others as gcloud does. A test imports it to take a slice
away.
"""

import concurrent.futures
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
WAITS = 2  # looks at a queued resource before there is a slice

# A worker's Python: an installation does nothing, and an environment's Python is the one of the tests.
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


class RefusedError(Exception):
    """What gcloud says and ends with status 1 after."""


class Cloud:
    """The folder: a folder of each node, with its workers' homes; a file of each queued resource; a log of calls."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"

    def install(self, python: str = sys.executable) -> None:
        """Makes bin/gcloud; `python` is what a worker's environment runs."""
        for name, text in {
            "bin/gcloud": f'#!/bin/sh\nexec {sys.executable} -S {__file__} {self.folder} "$@"\n',
            "worker-bin/python3": PYTHON3,
            # A wait of minutes, which is for other hosts' clocks, is noted and not made.
            "worker-bin/sleep": f'#!/bin/sh\necho "$1" >>{self.folder}/slept\n',
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
            raise RefusedError(f"NOT_FOUND: Resource '{name}' was not found")
        return json.loads(path.read_text())

    def _write(self, name: str, **known: object) -> None:
        path = self.node(name) / "node.json"
        path.with_suffix(".new").write_text(json.dumps(known))
        path.with_suffix(".new").replace(path)

    def create(self, name: str, accelerator: str) -> None:
        if self.node(name).exists():
            raise RefusedError(f"ALREADY_EXISTS: Resource '{name}' already exists")
        if (self.folder / "no-capacity").exists():
            raise RefusedError("There is no more capacity in the zone")
        kind, size = accelerator.split("-")
        if kind != "v5litepod":
            raise RefusedError(f"INVALID_ARGUMENT: {accelerator}")
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
        # Moved first: a slice is there or is not, also for who looks while its files are being deleted.
        gone = self.folder / "gone" / f"{name}-{time.monotonic_ns()}"
        gone.parent.mkdir(exist_ok=True)
        self.node(name).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)  # a process killed just now may still write

    def end(self) -> None:
        """Kills all that was ever started here, also on slices that are gone."""
        self._kill(self._marked(f"STANDIN_NODE={self.node('')}/".encode()), signal.SIGKILL)

    def preempt(self, name: str, grace: float = 30.0) -> None:
        """Takes a slice away: its processes are told, and killed in the end."""
        known = self._read(name)
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
            self._write(name, **(known | {"state": "PREEMPTED"}))

    def processes(self, name: str) -> list[int]:
        """Whatever was started on a worker of the slice, found by its environment."""
        return self._marked(f"STANDIN_NODE={self.node(name)}\0".encode())

    def _marked(self, mark: bytes) -> list[int]:
        found: list[int] = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if mark in (path / "environ").read_bytes():
                    found.append(int(path.name))
            except OSError:
                continue
        return found

    def _signal(self, name: str, number: int) -> None:
        self._kill(self.processes(name), number)

    def _kill(self, processes: list[int], number: int) -> None:
        for process in processes:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue

    def ssh(self, name: str, worker: str, line: str) -> int:
        """Runs a line on workers, all at the same time; the worst status."""
        hosts = self._ready(name)
        chosen = range(hosts) if worker == "all" else [int(worker)]
        with concurrent.futures.ThreadPoolExecutor(hosts) as pool:
            return max(pool.map(lambda each: self._run(name, each, line), chosen))

    def _run(self, name: str, worker: int, line: str) -> int:
        known, home = self._read(name), self.node(name) / str(worker)
        environment = os.environ | {
            "HOME": str(home),
            "PATH": f"{self.folder}/worker-bin:{os.environ['PATH']}",
            "STANDIN_NODE": str(self.node(name)),
            "STANDIN_PYTHON": (self.folder / "python").read_text(),
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", "").replace("device_count=2", "device_count=1"),
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{known['port']}",
            "JAX_NUM_PROCESSES": str(known["hosts"]),
            "JAX_PROCESS_ID": str(worker),
        }
        return subprocess.run(["bash", "-c", line], cwd=home, env=environment, check=False).returncode

    def _ready(self, name: str) -> int:
        known = self._read(name)
        if known["state"] != "READY":
            raise RefusedError(f"{name} is not in READY state")
        return int(str(known["hosts"]))

    def scp(self, source: str, target: str, worker: str) -> None:
        if ":" in target:
            name, _, path = target.partition(":")
            hosts = self._ready(name)
            for each in range(hosts) if worker == "all" else [int(worker)]:
                shutil.copy(source, self.node(name) / str(each) / path)
        else:
            name, _, path = source.partition(":")
            self._ready(name)
            found = self.node(name) / worker / path  # an absolute path stays one
            shutil.copytree(found, pathlib.Path(target) / found.name)

    def request(self, verb: str, name: str, given: dict[str, str]) -> None:
        """Queued resources: there is a slice after a few looks."""
        path = self.folder / "requests" / name
        path.parent.mkdir(exist_ok=True)
        if verb == "create":
            if path.exists():
                raise RefusedError(f"ALREADY_EXISTS: Resource '{name}' already exists")
            path.write_text(json.dumps({"state": "WAITING_FOR_RESOURCES", "looks": 0, **given}))
            return
        if not path.exists():
            raise RefusedError(f"NOT_FOUND: Resource '{name}' was not found")
        known = json.loads(path.read_text())
        if verb == "delete":
            if self.node(known["node-id"]).exists():
                self.delete(known["node-id"])
            path.unlink()
            return
        known["looks"] += 1
        if known["looks"] == WAITS:
            self.create(known["node-id"], known["accelerator-type"])
            known["state"] = "ACTIVE"
        path.write_text(json.dumps(known))
        print(known["state"])


def main(cloud: Cloud, words: list[str]) -> int:
    with cloud.calls.open("a") as calls:
        print(*words[2:5], file=calls)
    service, verb, *rest = words[2:]
    parts = [re.fullmatch(r"--([a-z-]+)(?:=(.*))?", word, re.DOTALL) for word in rest]
    given = {part[1]: part[2] or "" for part in parts if part}
    names = [word for word, part in zip(rest, parts, strict=True) if not part]
    allowed = (FLAGS if service == "tpu-vm" else QUEUE_FLAGS)[verb]
    if "zone" not in given or not given.keys() <= allowed:
        raise RefusedError(f"unrecognized arguments: {given.keys() ^ allowed}")
    if service == "queued-resources":
        cloud.request(verb, names[0], given)
    elif verb == "create":
        cloud.create(names[0], given["accelerator-type"])
    elif verb == "describe":
        print(cloud.state(names[0]))
    elif verb == "delete":
        cloud.delete(names[0])
    elif verb == "scp":
        cloud.scp(names[0], names[1], given["worker"])
    else:
        return cloud.ssh(names[0], given["worker"], given["command"])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Cloud(pathlib.Path(sys.argv[1])), sys.argv[2:]))
    except RefusedError as refused:
        print(f"ERROR: (gcloud) {refused}", file=sys.stderr)
        sys.exit(1)
