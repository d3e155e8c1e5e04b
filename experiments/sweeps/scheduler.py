"""What works on the cells of a sweep: takes those that are free, trains them in a process, and says how it goes."""

import contextlib
import json
import pathlib
import statistics
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

from rich.live import Live
from rich.table import Table

from experiments.runs.execute import open_run
from experiments.runs.workdir import Workdir
from experiments.runtime import leases, subprocesses
from experiments.runtime.progress import console
from experiments.runtime.signals import STATUSES, Interrupted, Interrupts
from experiments.sweeps import populations
from experiments.sweeps.cells import Cell
from transformer.training import metrics

_ROWS = 30  # of the table in a terminal
_REFRESH = 10.0  # seconds between two looks at the cells that are being trained


class Runner:
    """Works on the cells of a sweep.

    Args:
      folder: of the sweep.
      chosen: its cells.
      splits: what finished runs are scored on.
      expiry: of claims, seconds.
      population: how many cells are trained together at most; 0: as suits the devices.
    """

    def __init__(
        self, folder: pathlib.Path, chosen: Sequence[Cell], splits: Sequence[str], expiry: float, population: int = 0
    ) -> None:
        self._claims = folder / "claims"
        self._cells, self._splits, self._expiry = chosen, splits, expiry
        self._population = population
        self._known: dict[str, tuple[int, str]] = {}  # of a cell, how long its metrics were, and what they said
        self._seconds: list[float] = []  # that each cell took
        self._tried: set[str] = set()
        self._alone: set[str] = set()  # cells that failed with others, and are to be tried by themselves
        self._console = console()

    def status(self, cell: Cell) -> str:
        """Where a cell stands, in words."""
        with contextlib.suppress(FileNotFoundError):  # another process may be trying it again
            return "failed: " + cell.failed.read_text(encoding="utf-8").strip().rpartition("\n")[2]
        if cell.result.exists():
            splits = json.loads(cell.result.read_text(encoding="utf-8"))["splits"]
            return "done: " + ", ".join(f"{split} BLEU {scores['bleu']:.2f}" for split, scores in splits.items())
        owner = leases.owner(self._claims, cell.name, self._expiry)
        return f"{self._progress(cell)}, {owner} is at it" if owner else self._progress(cell)

    def _progress(self, cell: Cell) -> str:
        """What a cell's metrics say; they are read again only when they have grown."""
        path = Workdir(cell.path).metrics
        size = path.stat().st_size if path.exists() else 0
        known = self._known.get(cell.name)
        if known is None or known[0] != size:
            events = metrics.read(cell.path)
            split = cell.spec.data.validation_split
            judged = [event["bleu"] for event in events if event["split"] == split and "bleu" in event]
            text = f"{events[-1]['step'] if events else 0} of {cell.spec.train.steps} updates"
            known = self._known[cell.name] = (size, text + (f", {split} BLEU {judged[-1]:.2f}" if judged else ""))
        return known[1]

    def work(self) -> list[str]:
        """Takes one group of cells after the other until none is free; the names of those that failed."""
        self._tried.clear()
        while free := self._free():
            begun = time.monotonic()
            ended = self._run(free)
            for cell in ended:
                self._line(f"{cell.name}: {self.status(cell)}")
                self._seconds.append((time.monotonic() - begun) / len(ended))
            if ended:
                left = sum(not cell.over for cell in self._cells)
                self._line(
                    f"{(time.monotonic() - begun) / 60:.1f} minutes; {left} of {len(self._cells)} cells left, some "
                    f"{left * statistics.mean(self._seconds) / 60:.0f} minutes alone"
                )
        return [cell.name for cell in self._cells if cell.failed.exists()]

    def _free(self) -> list[Cell]:
        """Cells to begin with next, which can be trained together: not over, not tried, and nobody works on them."""
        free = [
            cell
            for cell in self._cells
            if not (cell.name in self._tried or cell.over or leases.owner(self._claims, cell.name, self._expiry))
        ]
        apart = [[cell] for cell in free if cell.name in self._alone]
        others = [cell for cell in free if cell.name not in self._alone]
        alike = any(len(group) > 1 for group in populations.groups(others, 2))
        if self._population == 0 and alike:
            self._population = as_suits_devices(others[0].spec.parallel.cpu_devices)
        return next(iter((*apart, *populations.groups(others, self._population or 1))), [])

    def _run(self, cells: list[Cell]) -> list[Cell]:
        """Trains cells in a process of their own.

        Returns those that came to an end in it. What could not be done together is left to be tried one by one.
        """
        for cell in cells:
            self._line(f"{cell.name}: {self.status(cell)}")
        status = subprocesses.run(work_on, cells, self._claims, self._splits, self._expiry, wait=self._watch)
        # What another process works on, or has taken over, is its affair.
        ours = [cell for cell in cells if not leases.owner(self._claims, cell.name, self._expiry)]
        undone = [cell for cell in ours if not cell.over]
        if status in (0, leases.LOST, *STATUSES):
            self._tried.update(cell.name for cell in cells)
        elif len(cells) > 1:
            self._alone.update(cell.name for cell in undone)
            self._line(f"that did not work together; one by one now. {cells[0].log} may say why")
        else:
            for cell in undone:
                cell.fail(f"ended with status {status}; {cell.log} may say why")
            self._tried.update(cell.name for cell in cells)
        return [cell for cell in ours if cell.over]

    def _watch(self, process: Any) -> None:
        """Waits for a process; in a terminal, with a table of all cells that follows what they have come to."""
        if not self._console.is_terminal:
            process.join()
            return
        with Live(self.table(), console=self._console, auto_refresh=False, transient=True) as live:
            while process.is_alive():
                process.join(_REFRESH)
                live.update(self.table(), refresh=True)

    def table(self) -> Table:
        """Every cell and where it stands; what is done and left, and how long that may take, in the caption."""
        done = sum(cell.over for cell in self._cells)
        left = len(self._cells) - done
        known = statistics.mean(self._seconds) if self._seconds else None
        caption = f"{done} of {len(self._cells)} cells are over" + (
            f"; some {left * known / 60:.0f} minutes left alone" if known and left else ""
        )
        shown = Table("cell", "seed", "where it stands", caption=caption)
        # A screen holds some thirty lines: what is done gives way to what is not.
        rows = [cell for cell in self._cells if not cell.over] if len(self._cells) > _ROWS else self._cells
        for cell in rows[:_ROWS]:
            shown.add_row(cell.variant, str(cell.seed), self.status(cell))
        return shown

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False)


def work_on(cells: Sequence[Cell], folder: pathlib.Path, splits: Sequence[str], expiry: float) -> None:
    """Trains and measures cells in this process, but for those that somebody else has claimed in the folder of claims.

    What goes wrong with a cell that is alone is written to its failed.txt; with several, the process ends with status
    1. It also ends when a claim is lost.

    Args:
      cells: that can be trained together.
      folder: of claims.
      splits: what finished runs are scored on.
      expiry: of claims, seconds.
    """
    with contextlib.ExitStack() as held:
        taken: list[Cell] = []
        for cell in cells:
            if (claimed := leases.claim(folder, cell.name, expiry)) is not None:
                held.enter_context(claimed)
                taken += [] if cell.over else [cell]
        if not taken:
            return
        for cell in taken[1:]:
            cell.log.parent.mkdir(parents=True, exist_ok=True)
            with cell.log.open("a", encoding="utf-8") as log:
                print(f"trained together with {taken[0].name}; see {taken[0].log}", file=log)
        interrupts = held.enter_context(subprocesses.logging_to(taken[0].log))
        try:
            for cell in taken:
                held.enter_context(Workdir(cell.path).held())
            _train(taken, splits, interrupts)
        except (KeyboardInterrupt, Interrupted):
            raise
        except BaseException as error:  # a mistake in a setting ends the program: SystemExit
            traceback.print_exc()
            if len(taken) > 1:
                sys.exit(1)
            taken[0].fail(f"{type(error).__name__}: {error}; see {taken[0].log}")


def as_suits_devices(cpu_devices: int) -> int:
    """How many cells to train together: one a device of a CPU, where more only wait for each other; elsewhere many."""
    # In a process of its own: where JAX has started, devices cannot be set up any more.
    return subprocesses.result_of(_devices, cpu_devices) or populations.LARGEST


def _devices(cpu_devices: int) -> int:
    """How many devices a CPU is divided into; 0 for other devices."""
    from experiments.runtime import xla_env

    xla_env.prepare(cpu_devices)
    import jax

    return len(jax.devices()) if jax.default_backend() == "cpu" else 0


def _train(cells: Sequence[Cell], splits: Sequence[str], interrupts: Interrupts) -> None:
    """Trains cells together, then scores and measures each."""
    begun = time.monotonic()
    name = cells[0].name if len(cells) > 1 else ""
    first = open_run(cells[0].spec, str(cells[0].path), name=name, interrupts=interrupts)
    from experiments.runs.result import measure
    from experiments.runs.trainer import train

    members = [first, *(first.beside(cell.spec, str(cell.path), cell.name) for cell in cells[1:])]
    train(members)
    for member in members:
        member.finish(begun)
        measure(member, splits)
