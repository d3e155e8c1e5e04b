"""Several programs that do the same work in turns, so that a machine that slows down slows all of them."""

import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from experiments.runtime import xla_env

ROOT = pathlib.Path(__file__).parents[2]


class Peer(NamedTuple):
    """A program to compare.

    Attributes:
      module: that is run, by its full name.
      environment: folder of the virtual environment, below the one of all; empty: this program's own.
      arguments: after the work.
    """

    module: str
    environment: str = ""
    arguments: tuple[str, ...] = ()


class PeerError(ChildProcessError):
    """A peer that cannot run, with the last line of what it said."""


class Worker:
    """A program that waits for its turns.

    Args:
      peer: which.
      work: as JSON, its first argument.
      environments: folder with a virtual environment for each library; where there is none, this program's own serves.
      log: what it writes to stderr.
    """

    def __init__(self, peer: Peer, work: str, environments: pathlib.Path, log: pathlib.Path) -> None:
        own = environments.resolve() / peer.environment / "bin" / "python"
        python = str(own) if peer.environment and own.exists() else sys.executable
        command = [python, "-m", peer.module, work, *peer.arguments]
        self._log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | xla_env.ALLOCATOR,  # what every run of ours has, others have as well
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def ready(self) -> dict[str, Any]:
        """What it says when it is prepared.

        Raises:
          PeerError: it ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            said = self._log.read_text(errors="replace").strip().splitlines()
            killed = (
                ", killed, perhaps for want of memory: fewer --peers need less" if status == -signal.SIGKILL else ""
            )
            raise PeerError(f"status {status}{killed}: {said[-1] if said else 'said nothing'}")
        return json.loads(line)

    def turn(self, order: str) -> dict[str, Any]:
        """What comes of an order.

        Raises:
          PeerError: it ended.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(order + "\n")
            self._process.stdin.flush()
        return self.ready()

    def end(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def workers(
    peers: dict[str, Peer], work: str, environments: pathlib.Path, logs: pathlib.Path
) -> Iterator[dict[str, tuple[Worker, dict[str, Any]]]]:
    """The workers that can run, by name, each prepared, with what it says about itself; one prepares at a time."""
    found: dict[str, tuple[Worker, dict[str, Any]]] = {}
    try:
        for name, peer in peers.items():
            worker = Worker(peer, work, environments, logs / f"{name}.log")
            try:
                found[name] = worker, worker.ready()
            except PeerError as error:
                worker.end()
                print(f"{name}: left out, {error}", file=sys.stderr, flush=True)
            except BaseException:
                worker.end()
                raise
        yield found
    finally:
        for worker, _ in found.values():
            worker.end()


def take(
    running: dict[str, tuple[Worker, dict[str, Any]]], rounds: int, order: Callable[[str], str]
) -> dict[str, list[dict[str, Any]]]:
    """What comes of the turns of each worker; in each round all have one, with the order for its name.

    Raises:
      PeerError: one ended.
    """
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, (worker, _) in running.items():
            try:
                taken[name].append(worker.turn(order(name)))
            except PeerError as error:
                raise PeerError(f"{name}: {error}") from error
    return taken


def known(names: Sequence[str], choices: dict[str, Any], flag: str) -> dict[str, Any]:
    """Those of the choices that a flag names.

    Raises:
      ValueError: another name.
    """
    if unknown := [name for name in names if name not in choices]:
        raise ValueError(f"{flag}: {unknown[0]!r} is none of {', '.join(choices)}")
    return {name: choices[name] for name in names}


def ratio(theirs: Sequence[float], ours: Sequence[float] | None) -> float | None:
    """How many times as fast ours is: the median over rounds, in each of which the machine was the same."""
    if ours is None:
        return None
    return round(statistics.median(one / other for one, other in zip(theirs, ours, strict=True)), 3)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median, the upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high
