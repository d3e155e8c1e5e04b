"""The goodput account of a run: the shares of its wall time in training steps and in everything else.

A process appends its seconds in each phase to goodput.jsonl, so that the account goes on after a `kill -9`. The time
between two processes, and that of a killed process since its last line, are unknown and not part of the account.
"""

import contextlib
import math
import pathlib
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax

from transformer.training import metrics

START_UP, COMPILATION, STEPS, INPUT = "start_up", "compilation", "steps", "input"
EVALUATION, SAVING = "evaluation", "saving"
PHASES: tuple[str, ...] = (START_UP, COMPILATION, STEPS, INPUT, EVALUATION, SAVING)
LOST = "lost"
_COMPILER_EVENTS = ("/jax/core/compile/jaxpr_to_mlir_module_duration", "/jax/core/compile/backend_compile_duration")
_INTERVAL, _SHARE = 10.0, 0.01  # a line at most every 10 seconds or 1 % of the process's time, whichever is more

Item = TypeVar("Item")


class Stopwatch:
    """Divides the time of a process among phases; it is in one phase at any time, at first in the start-up.

    What the stopwatch's thread compiles counts as compilation, whatever the phase.

    Args:
      clock: returns seconds, from any origin.
      start: time at which the process started, by `clock`; default: now.
    """

    def __init__(self, clock: Callable[[], float], start: float | None = None) -> None:
        self.clock = clock
        self._phase, self._since = START_UP, clock() if start is None else start
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._thread = threading.get_ident()
        _stopwatches.add(self)

    def enter(self, phase: str) -> str:
        """Enters a phase; returns the previous one."""
        now, previous = self.clock(), self._phase
        self._seconds[previous] += now - self._since
        self._phase, self._since = phase, now
        return previous

    @contextlib.contextmanager
    def phase(self, phase: str) -> Iterator[None]:
        """A context in a phase; returns to the previous phase."""
        previous = self.enter(phase)
        try:
            yield
        finally:
            self.enter(previous)

    def waiting(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yields `items`, whose time is that of the input."""
        while True:
            with self.phase(INPUT):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def total(self) -> float:
        """Returns the seconds since the start."""
        return sum(self.seconds().values())

    def seconds(self) -> dict[str, float]:
        """Returns the seconds in each phase so far."""
        self.enter(self._phase)
        return dict(self._seconds)

    def compiled(self, seconds: float) -> None:
        """Counts the last `seconds` of the present phase as compilation."""
        if threading.get_ident() == self._thread:
            self.enter(self._phase)
            moved = min(seconds, self._seconds[self._phase])
            self._seconds[self._phase] -= moved
            self._seconds[COMPILATION] += moved


_stopwatches = weakref.WeakSet[Stopwatch]()


def _count_compilation(event: str, duration_secs: float, **_: Any) -> None:
    if event in _COMPILER_EVENTS:
        for stopwatch in list(_stopwatches):
            stopwatch.compiled(duration_secs)


jax.monitoring.register_event_duration_secs_listener(_count_compilation)


class GoodputLog:
    """Appends the time of a process to goodput.jsonl in a run's folder.

    Args:
      path: the file.
      stopwatch: the time of the process.
    """

    def __init__(self, path: pathlib.Path, stopwatch: Stopwatch) -> None:
        self._name, self._stopwatch = path.name, stopwatch
        self._recorder: metrics.Recorder = metrics.NullRecorder()
        self._lines = metrics.read_lines(path)
        self._process = max((line["process"] for line in self._lines), default=0) + 1
        self._last = 0.0  # seconds of this process at its last line

    def restart(self, update: int, recorder: metrics.Recorder) -> None:
        """Writes that training starts after `update`: the time of later updates is lost. `recorder` writes the file."""
        self._recorder = recorder
        self._recorder.replace(self._name, self._lines)  # without an incomplete last line
        self._write(update, restart=True)

    def reach(self, update: int) -> None:
        """Writes the time until after `update`, unless the last line is new."""
        total = self._stopwatch.total()
        if total - self._last >= max(_INTERVAL, _SHARE * total):
            self.record(update)

    def record(self, update: int) -> None:
        """Writes the time until after `update`, whose state is saved, or which is the last."""
        self._write(update, restart=False)

    def account(self, update: int) -> dict[str, float]:
        """Returns the `account` of the run until now, after its last `update`."""
        return account([*self._lines, self._line(update, restart=False)])

    def _write(self, update: int, restart: bool) -> None:
        self._lines.append(self._line(update, restart))
        self._recorder.append(self._name, self._lines[-1])
        self._last = self._stopwatch.total()

    def _line(self, update: int, restart: bool) -> dict[str, Any]:
        seconds = {phase: round(value, 3) for phase, value in self._stopwatch.seconds().items()}
        return {"process": self._process, "update": update, "restart": restart, **seconds}


def account(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Returns the wall time of a run over all its processes, and its shares, which sum to 1.

    "lost" is the time, in any phase, of updates after the one from which training started again.

    Args:
      lines: of goodput.jsonl, at least one.

    Returns:
      "wall_seconds", "starts", and a share for each of `PHASES` and "lost".
    """
    lost, previous = 0.0, dict[str, Any]()
    parts: list[tuple[float, dict[str, float]]] = []  # time between two lines: the update at its end, seconds by phase
    for line in lines:
        starts = line["process"] != previous.get("process")
        # The start of a process is never lost, and what leads to a rollback always is.
        end = line["update"] if not line["restart"] else 0 if starts else math.inf
        parts.append((end, {phase: line[phase] - (0 if starts else previous[phase]) for phase in PHASES}))
        if line["restart"]:
            lost += sum(sum(part.values()) for end, part in parts if end > line["update"])
            parts = [(end, part) for end, part in parts if end <= line["update"]]
        previous = line
    seconds = {phase: sum(part[phase] for _, part in parts) for phase in PHASES} | {LOST: lost}
    wall = sum(seconds.values())
    shares = {phase: value / wall if wall else 0.0 for phase, value in seconds.items()}
    return {"wall_seconds": wall, "starts": max(line["process"] for line in lines), **shares}


def describe(shares: Mapping[str, float]) -> str:
    """Returns an account as a line of text."""
    phases = (*PHASES, LOST)
    parts = ", ".join(f"{phase.replace('_', '-')} {100 * shares[phase]:.1f} %" for phase in phases if shares[phase])
    return f"{shares['wall_seconds'] / 60:.1f} minutes in {shares['starts']} starts: {parts}"
