"""What a person watching sees: a progress bar in a terminal, plain lines elsewhere."""

import copy
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_TELL_EVERY = 10.0  # seconds


def number(name: str, value: float) -> str:
    """One metric as text, with the digits that matter."""
    if name == "tokens_per_second":
        return f"{value:,.0f} tokens/s"
    if name == "learning_rate":
        return f"learning rate {value:.2e}"
    return f"{name.replace('_', ' ')} {value:.2f}" if abs(value) >= 10 else f"{name.replace('_', ' ')} {value:.3f}"


def console(quiet: bool = False) -> Console:
    """Where text goes: lines are not folded, and nothing moves in a file or a pipe.

    Rich would also let things move there where FORCE_COLOR is set, as it is for all that a notebook starts.
    """
    return Console(highlight=False, soft_wrap=True, quiet=quiet, force_terminal=sys.stdout.isatty())


class Work:
    """Shows how far some work is: a bar in a terminal, elsewhere a line every ten seconds; use as a context manager.

    Args:
      what: is being done.
      total: of the things that it is done to.
      things: their name.
      done: how many of them were done before.
    """

    def __init__(self, what: str, total: int, things: str, done: int = 0) -> None:
        self._what, self._total, self._things = what, total, things
        self._before = self._done = done
        self._console = console()
        self._bar = _bar(self._console, what)

    def __enter__(self) -> "Work":
        self._bar.start()
        self._bar.add_task(self._what, total=self._total, completed=self._done, now="")
        self._begun = self._told = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, count: int) -> None:
        """Notes that `count` more are done."""
        self._done += count
        now = time.monotonic()
        speed = (self._done - self._before) / max(now - self._begun, 1e-9)
        self._bar.update(self._bar.task_ids[-1], completed=self._done, now=f"{speed:,.0f} {self._things}/s")
        if not self._console.is_terminal and (now - self._told > _TELL_EVERY or self._done >= self._total):
            self._told = now
            left = (self._total - self._done) / max(speed, 1e-9)
            self._console.print(
                f"{self._what}: {self._done:,} of {self._total:,} {self._things}, {speed:,.0f}/s, {left:,.0f} s left",
                markup=False,
            )


def _bar(console: Console, what: str, quiet: bool = False) -> Progress:
    return Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[now]}"),
        console=console,
        disable=quiet or not console.is_terminal,
    )


class Watch:
    """Shows a run's progress; use as a context manager.

    Args:
      steps: updates in the whole run.
      name: stands before every line, where several runs share a terminal.
      quiet: prints nothing.
    """

    def __init__(self, steps: int, name: str = "", quiet: bool = False) -> None:
        self.console = console(quiet)
        self._bar = _bar(self.console, "training", quiet)
        self._steps, self._start, self._name = steps, 0, name

    def since(self, start: int) -> "Watch":
        """The same, for a run that `start` updates have been made of."""
        self._start = start
        return self

    def beside(self, name: str) -> "Watch":
        """The same bar, and lines of another name."""
        other = copy.copy(self)
        other._name = name
        return other

    def __enter__(self) -> "Watch":
        self._bar.start()
        self._bar.add_task("training", total=self._steps, completed=self._start, now="compiling")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, step: int) -> None:
        """Moves the bar."""
        self._bar.update(self._bar.task_ids[-1], completed=step)

    def line(self, text: str) -> None:
        """Prints a line above the bar."""
        self.console.print(f"{self._name}: {text}" if self._name else text, markup=False)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Shows a step's metrics: beside the bar in a terminal, as a line elsewhere."""
        shown = ("loss", "perplexity", "learning_rate", "tokens_per_second")
        text = ", ".join(number(name, values[name]) for name in shown)
        self._bar.update(
            self._bar.task_ids[-1], now=f"loss {values['loss']:.3f}, {values['tokens_per_second']:,.0f} tokens/s"
        )
        if not self.console.is_terminal:
            self.line(f"step {step}/{self._steps}: {text}")
