"""Progress on screen: a progress bar in a terminal, plain lines in a file or a pipe."""

import copy
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_INTERVAL = 10.0  # seconds between lines of progress where there is no terminal


def format_metric(name: str, value: float) -> str:
    """Returns one metric as text, with its significant digits."""
    if name == "tokens_per_second":
        return f"{value:,.0f} tokens/s"
    if name == "model_flops_per_second":
        return f"{value / 1e12:,.1f} TFLOP/s" if value >= 1e12 else f"{value / 1e9:.3g} GFLOP/s"
    if name == "mfu":
        return f"MFU {100 * value:.1f} %"
    if name == "learning_rate":
        return f"learning rate {value:.2e}"
    return f"{name} {value:.2f}" if abs(value) >= 10 else f"{name} {value:.3f}"


def console(quiet: bool = False) -> Console:
    """Returns a console that does not wrap lines, and that animates nothing in a file or a pipe.

    Rich itself would also animate where FORCE_COLOR is set, as notebooks do for the processes they start.
    """
    return Console(highlight=False, soft_wrap=True, quiet=quiet, force_terminal=sys.stdout.isatty())


class ProgressBar:
    """Shows the progress of a task: a bar in a terminal, lines elsewhere. A context manager.

    Args:
      task: description of the task, "tokenising".
      total: number of units of work.
      unit: name of the units, "pairs".
      done: number of units that were done before.
      name: prefix of every line, for runs that share a terminal.
      quiet: prints nothing.
    """

    def __init__(self, task: str, total: int, unit: str, done: int = 0, name: str = "", quiet: bool = False) -> None:
        self._task, self._total, self._unit, self._name = task, total, unit, name
        self._initial = self._done = done
        self._console = console(quiet)
        bar = (TextColumn(task), BarColumn(), MofNCompleteColumn())
        status = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[status]}"))
        self._bar = Progress(*bar, *status, console=self._console, disable=quiet or not self._console.is_terminal)

    def starting_at(self, done: int) -> "ProgressBar":
        """Sets the number of units that were done before; returns the same object."""
        self._initial = self._done = done
        return self

    def with_name(self, name: str) -> "ProgressBar":
        """Returns the same bar with another prefix of its lines."""
        other = copy.copy(self)
        other._name = name
        return other

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        self._bar.add_task(self._task, total=self._total, completed=self._done, status="")
        self._start = self._last_line = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def in_terminal(self) -> bool:
        """Whether there is a bar."""
        return self._console.is_terminal

    def set_done(self, done: int) -> None:
        """Moves the bar to `done` units; prints no line."""
        self._bar.update(self._bar.task_ids[-1], completed=done)

    def set_status(self, status: str) -> None:
        """Shows a short text next to the bar."""
        self._bar.update(self._bar.task_ids[-1], status=status)

    def advance(self, count: int) -> None:
        """Adds `count` units; where there is no terminal, prints a line with the speed every ten seconds."""
        self._done += count
        now = time.monotonic()
        speed = (self._done - self._initial) / max(now - self._start, 1e-9)
        self.set_done(self._done)
        self.set_status(f"{speed:,.0f} {self._unit}/s")
        if not self.in_terminal and (now - self._last_line > _LINE_INTERVAL or self._done >= self._total):
            self._last_line = now
            left = (self._total - self._done) / max(speed, 1e-9)
            done = f"{self._done:,} of {self._total:,} {self._unit}"
            self.print(f"{self._task}: {done}, {speed:,.0f}/s, {left:,.0f} s left")

    def print(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(f"{self._name}: {text}" if self._name else text, markup=False)
