"""Several processes of one run on one machine, which connect over loopback as the hosts of a pod do."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).parents[1]
DEVICES = 2  # per process


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Pod:
    """`count` processes of one command, each with a log file next to the workdir."""

    def __init__(self, count: int, command: Sequence[str], logs: pathlib.Path, devices: int = DEVICES) -> None:
        flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"  # the last one counts
        environment = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}", "JAX_NUM_PROCESSES": str(count)}
        self.logs = [logs.with_suffix(f".{number}.log") for number in range(count)]
        self.processes = []
        for number, log in enumerate(self.logs):
            numbered = environment | {"JAX_PROCESS_ID": str(number)} if count > 1 else {}
            with log.open("a", encoding="utf-8") as file:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", *command],
                        cwd=ROOT,
                        env=os.environ | numbered | {"XLA_FLAGS": flags},
                        stdout=file,
                        stderr=subprocess.STDOUT,
                    )
                )

    def log_text(self, number: int = 0) -> str:
        return self.logs[number].read_text(encoding="utf-8")

    def wait_for(self, text: str, within: float = 240.0) -> None:
        """Waits until the log of the first process contains `text`."""
        deadline = time.monotonic() + within
        while text not in self.log_text():
            if time.monotonic() > deadline or self.processes[0].poll() is not None:
                self.fail(f"{text!r} never appeared")
            time.sleep(0.02)

    def wait_for_exit(self, within: float = 480.0) -> list[int]:
        """Waits until the processes exit; returns their exit statuses."""
        deadline = time.monotonic() + within
        for process in self.processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.fail("still running")
        return [process.returncode for process in self.processes]

    def fail(self, reason: str) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        pytest.fail(reason + "".join(f"\n--- {log.name}\n{log.read_text()[-2000:]}" for log in self.logs))

    def send(self, number: int, which: signal.Signals) -> None:
        self.processes[number].send_signal(which)


def write_config(path: pathlib.Path, config: Mapping[str, Any]) -> pathlib.Path:
    """Writes a config file of plain values."""
    text = json.dumps(json.dumps(config))
    path.write_text(
        "import json\nfrom ml_collections import ConfigDict\n"
        f"def get_config():\n    return ConfigDict(json.loads({text}), type_safe=False)\n",
        encoding="utf-8",
    )
    return path


def train(count: int, config: pathlib.Path, workdir: pathlib.Path, devices: int = DEVICES) -> Pod:
    command = ["experiments.train", f"--config={config}", f"--workdir={workdir}"]
    return Pod(count, command, workdir, devices)
