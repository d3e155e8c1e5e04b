"""Programs that do the same work in alternating turns, so that a slow phase of the machine affects all of them."""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.runtime import xla_env

Measurement = dict[str, Any]
ROOT = Path(__file__).parents[2]


class Peer(NamedTuple):
    """A program that takes part in a comparison.

    Attributes:
      module: full name of the module to run.
      environment: name of the library's virtual environment; empty: this program's own environment.
      arguments: command-line arguments after the workload.
    """

    module: str
    environment: str = ""
    arguments: tuple[str, ...] = ()


class PeerError(ChildProcessError):
    """A peer cannot run; the message holds the last line of its log."""


class PeerProcess:
    """A running peer, which waits for its turns.

    Args:
      peer: the program.
      workload: its first argument, as JSON.
      environments: folder of the libraries' virtual environments; a library without one runs in this program's own.
      log: file for its stderr.
    """

    def __init__(self, peer: Peer, workload: str, environments: Path, log: Path) -> None:
        own_python = environments.resolve() / peer.environment / "bin" / "python"
        python = str(own_python) if peer.environment and own_python.exists() else sys.executable
        command = [python, "-m", peer.module, workload, *peer.arguments]
        self._log = log
        env = os.environ | xla_env.MALLOC_ENVIRONMENT  # the allocator settings of our runs, for all peers
        with log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
            )

    def receive(self) -> dict[str, Any]:
        """Waits for the peer's next JSON object and returns it; the first one describes the peer.

        Raises:
          PeerError: the process exited.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            log = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            killed = ", killed, perhaps out of memory: fewer --peers need less" if status == -signal.SIGKILL else ""
            raise PeerError(f"status {status}{killed}: {log[-1] if log else 'no output'}")
        return json.loads(line)

    def request(self, line: str) -> dict[str, Any]:
        """Sends a line to the peer, which takes one turn, and returns its result.

        Raises:
          PeerError: the process exited.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        return self.receive()

    def kill(self) -> None:
        """Kills the process."""
        self._process.kill()
        self._process.communicate()


RunningPeers = dict[str, tuple[PeerProcess, dict[str, Any]]]


@contextlib.contextmanager
def start_peers(peers: dict[str, Peer], workload: str, environments: Path, logs: Path) -> Iterator[RunningPeers]:
    """Starts peers one after the other; yields those that can run, by name, each with its description of itself."""
    running: RunningPeers = {}
    with contextlib.ExitStack() as stack:
        for name, peer in peers.items():
            process = PeerProcess(peer, workload, environments, logs / f"{name}.log")
            stack.callback(process.kill)
            try:
                running[name] = process, process.receive()
            except PeerError as error:
                print(f"{name}: left out, {error}", file=sys.stderr, flush=True)
        yield running


def take_turns(running: RunningPeers, rounds: int, request: Callable[[str], str]) -> dict[str, list[dict[str, Any]]]:
    """Runs rounds in which each peer takes one turn; returns the results of each peer.

    `request` returns the line to send to the peer with a given name. Raises PeerError if a process exited.
    """
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, (process, _) in running.items():
            try:
                results[name].append(process.request(request(name)))
            except PeerError as error:
                raise PeerError(f"{name}: {error}") from error
    return results


def select(names: Sequence[str], choices: dict[str, Any], flag: str) -> dict[str, Any]:
    """Returns the choices that a flag names.

    Raises:
      ValueError: a name is not among the choices.
    """
    if unknown := [name for name in names if name not in choices]:
        raise ValueError(f"{flag}: {unknown[0]!r} is none of {', '.join(choices)}")
    return {name: choices[name] for name in names}


def speed_ratio(theirs: Sequence[float], ours: Sequence[float] | None) -> float | None:
    """Returns how many times faster ours is: the median ratio of seconds over rounds."""
    if ours is None:
        return None
    return round(statistics.median(peer / our for peer, our in zip(theirs, ours, strict=True)), 3)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Returns the lower quartile, the median and the upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high
