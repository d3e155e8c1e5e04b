"""Runs the cells of a sweep: acquires free cells, trains them in a separate process, and reports their status."""

import contextlib
import json
import pathlib
import statistics
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any, cast

from rich.live import Live
from rich.table import Table

from experiments.runs.execute import open_run
from experiments.runs.workdir import Workdir
from experiments.runtime import leases, subprocesses
from experiments.runtime.progress import console
from experiments.runtime.signals import STATUSES, Interrupted, Interrupts
from experiments.sweeps import archive, populations, workers
from experiments.sweeps.cells import Cell
from transformer.training import metrics

_MAX_ROWS = 30  # of the table in a terminal
_REFRESH = 10.0  # seconds between updates of the table


class Scheduler:
    """Runs the cells of a sweep.

    Args:
      folder: folder of the sweep.
      cells: the selected cells.
      splits: splits that finished runs are scored on.
      expiry: expiry of leases, seconds.
      population: number of cells that train jointly, at most; 0: chosen for the devices.
      archive_folder: folder for finished cells as small files, see `archive`; cells with a file there are not trained.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        cells: Sequence[Cell],
        splits: Sequence[str],
        expiry: float,
        population: int = 0,
        archive_folder: pathlib.Path | None = None,
    ) -> None:
        self._leases = folder / "claims"
        self._cells, self._splits, self._expiry = cells, splits, expiry
        self._population, self._archive = population, archive_folder
        self._arguments = (folder, cells, splits, expiry, population, archive_folder)
        self._shown: set[str] = set()  # finished cells whose status was printed
        self._progress_cache: dict[str, tuple[int, str]] = {}  # cell → (size of its metrics file, its progress)
        self._refreshed = 0.0  # time of the last update of the table
        self._seconds: list[float] = []  # duration of each finished cell
        self._tried: set[str] = set()
        self._retry_singly: set[str] = set()  # cells of populations that failed
        self._console = console()

    def status(self, cell: Cell) -> str:
        """Returns the status of a cell as text."""
        with contextlib.suppress(FileNotFoundError):  # another process may be retrying it
            return "failed: " + cell.failed.read_text(encoding="utf-8").strip().rpartition("\n")[2]
        if cell.result.exists():
            splits = json.loads(cell.result.read_text(encoding="utf-8"))["splits"]
            return "done: " + ", ".join(f"{split} BLEU {scores['bleu']:.2f}" for split, scores in splits.items())
        holder = leases.holder(self._leases, cell.name, self._expiry)
        return f"{self._progress(cell)}, running on {holder}" if holder else self._progress(cell)

    def _progress(self, cell: Cell) -> str:
        """Returns the progress of a cell, from its metrics; reads them only if the file has grown."""
        path = Workdir(cell.path).metrics
        size = path.stat().st_size if path.exists() else 0
        cached = self._progress_cache.get(cell.name)
        if cached is None or cached[0] != size:
            events = metrics.read(cell.path)
            split = cell.spec.data.validation_split
            scores = [event["bleu"] for event in events if event["split"] == split and "bleu" in event]
            text = f"{events[-1]['step'] if events else 0} of {cell.spec.train.steps} updates"
            cached = (size, text + (f", {split} BLEU {scores[-1]:.2f}" if scores else ""))
            self._progress_cache[cell.name] = cached
        return cached[1]

    def restore(self) -> None:
        """Restores the cells that are in the archive, and adds finished ones to it.

        Raises:
          ValueError: a cell in the archive was trained with other settings, or its file is damaged.
        """
        for cell in self._cells if self._archive else ():
            if cell.result.exists():
                self._pack(cell)
            elif archive.unpack(cell, cast("pathlib.Path", self._archive)):
                self._print(f"{cell.name}: {self.status(cell)} (from {self._archive})")

    def _pack(self, cell: Cell) -> None:
        if self._archive and cell.result.exists() and not (self._archive / f"{cell.name}.json.xz").exists():
            archive.pack(cell, self._archive)

    def run_workers(self, count: int) -> list[str]:
        """Like `run`, with `count` processes, each on its own core and with its own cells; one table shows all.

        Raises:
          ChildProcessError: a process died, and its cell has no result.
        """
        self._shown.update(cell.name for cell in self._cells if cell.finished)
        if self._console.is_terminal:
            with Live(self.table(), console=self._console, auto_refresh=False, transient=True) as live:
                died = workers.run(count, run_worker, self._arguments, lambda: self._update(live))
        else:
            died = workers.run(count, run_worker, self._arguments, self._print_finished)
        self._print_finished()
        if died and (left := [cell.name for cell in self._cells if not cell.finished]):
            raise ChildProcessError(
                f"{died} of {count} workers died, without a result for {', '.join(left)}; run the same command again, "
                "with fewer --workers if the memory was too small"
            )
        return [cell.name for cell in self._cells if cell.failed.exists()]

    def _update(self, live: Live) -> None:
        if time.monotonic() - self._refreshed > _REFRESH:
            self._refreshed = time.monotonic()
            live.update(self.table(), refresh=True)
        self._print_finished()

    def _print_finished(self) -> None:
        for cell in self._cells:
            if cell.name not in self._shown and cell.finished:
                self._shown.add(cell.name)
                left = sum(not cell.finished for cell in self._cells)
                self._print(f"{cell.name}: {self.status(cell)}; {left} of {len(self._cells)} cells left")

    def run(self, quiet: bool = False) -> list[str]:
        """Runs groups of cells until none is free; returns the names of the cells that failed."""
        self._tried.clear()
        self._console.quiet = quiet
        while group := self._next_group():
            start = time.monotonic()
            finished = self._run_group(group)
            for cell in finished:
                self._pack(cell)
                self._print(f"{cell.name}: {self.status(cell)}")
                self._seconds.append((time.monotonic() - start) / len(finished))
            if finished:
                left = sum(not cell.finished for cell in self._cells)
                self._print(
                    f"{(time.monotonic() - start) / 60:.1f} minutes; {left} of {len(self._cells)} cells left, about "
                    f"{left * statistics.mean(self._seconds) / 60:.0f} minutes for this process"
                )
        return [cell.name for cell in self._cells if cell.failed.exists()]

    def _next_group(self) -> list[Cell]:
        """Returns free cells that can train jointly: not finished, not tried before, not held by another process."""
        cells = [cell for cell in self._cells if not (cell.name in self._tried or cell.finished)]
        free = [cell for cell in cells if not leases.holder(self._leases, cell.name, self._expiry)]
        single = [[cell] for cell in free if cell.name in self._retry_singly]
        others = [cell for cell in free if cell.name not in self._retry_singly]
        if self._population == 0 and any(len(group) > 1 for group in populations.groups(others, 2)):
            # One member per device of a CPU. In a new process: once JAX is initialised, its devices cannot be changed.
            cpu_devices = subprocesses.call(_cpu_device_count, others[0].spec.parallel.cpu_devices)
            self._population = cpu_devices or populations.MAX_MEMBERS
        return next(iter((*single, *populations.groups(others, self._population or 1))), [])

    def _run_group(self, cells: list[Cell]) -> list[Cell]:
        """Trains cells in a separate process; returns those that are finished.

        If joint training fails, the cells are retried one by one.
        """
        for cell in cells:
            self._print(f"{cell.name}: {self.status(cell)}")
        status = subprocesses.run(run_cells, cells, self._leases, self._splits, self._expiry, wait=self._watch)
        # Cells that another process holds, or has taken over, are left to that process.
        ours = [cell for cell in cells if not leases.holder(self._leases, cell.name, self._expiry)]
        unfinished = [cell for cell in ours if not cell.finished]
        if status in (0, leases.LEASE_LOST, *STATUSES):
            self._tried.update(cell.name for cell in cells)
        elif len(cells) > 1:
            self._retry_singly.update(cell.name for cell in unfinished)
            self._print(f"joint training failed; retrying the cells one by one. See {cells[0].log}")
        else:
            for cell in unfinished:
                cell.mark_failed(f"exit status {status}; see {cell.log}")
            self._tried.update(cell.name for cell in cells)
        return [cell for cell in ours if cell.finished]

    def _watch(self, process: Any) -> None:
        """Waits for a process; in a terminal, shows a table of all cells and keeps it up to date."""
        if not self._console.is_terminal or self._console.quiet:
            process.join()
            return
        with Live(self.table(), console=self._console, auto_refresh=False, transient=True) as live:
            while process.is_alive():
                process.join(_REFRESH)
                live.update(self.table(), refresh=True)

    def table(self) -> Table:
        """Returns a table of the cells and their status, with the number of finished cells in the caption."""
        finished = sum(cell.finished for cell in self._cells)
        left = len(self._cells) - finished
        caption = f"{finished} of {len(self._cells)} cells finished"
        if self._seconds and left:
            caption += f"; about {left * statistics.mean(self._seconds) / 60:.0f} minutes left for this process"
        table = Table("variant", "seed", "status", caption=caption)
        # A screen holds about thirty lines; finished cells are left out if there are more cells.
        rows = [cell for cell in self._cells if not cell.finished] if len(self._cells) > _MAX_ROWS else self._cells
        for cell in rows[:_MAX_ROWS]:
            table.add_row(cell.variant, str(cell.seed), self.status(cell))
        return table

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False)


def run_worker(*arguments: Any) -> None:
    """Runs the cells of a sweep that other workers leave; the arguments are those of `Scheduler`."""
    Scheduler(*arguments).run(quiet=True)


def run_cells(cells: Sequence[Cell], folder: pathlib.Path, splits: Sequence[str], expiry: float) -> None:
    """Trains and scores cells in this process, except those that another process holds.

    If a single cell fails, the reason is written to its failed.txt. If a population fails, the process exits with
    status 1. If a lease is lost, it exits with status `leases.LEASE_LOST`. The arguments are those of `Scheduler`;
    `cells` can train jointly, and `folder` is that of the leases.
    """
    with contextlib.ExitStack() as stack:
        acquired: list[Cell] = []
        for cell in cells:
            if (lease := leases.acquire(folder, cell.name, expiry)) is not None:
                stack.enter_context(lease)
                acquired += [] if cell.finished else [cell]
        if not acquired:
            return
        for cell in acquired[1:]:
            cell.log.parent.mkdir(parents=True, exist_ok=True)
            with cell.log.open("a", encoding="utf-8") as log:
                print(f"trained jointly with {acquired[0].name}; see {acquired[0].log}", file=log)
        interrupts = stack.enter_context(subprocesses.logging_to(acquired[0].log))
        try:
            for cell in acquired:
                stack.enter_context(Workdir(cell.path).locked())
            _train(acquired, splits, interrupts)
        except (KeyboardInterrupt, Interrupted):
            raise
        except BaseException as error:  # BaseException, because a wrong setting raises SystemExit
            traceback.print_exc()
            if len(acquired) > 1:
                sys.exit(1)
            acquired[0].mark_failed(f"{type(error).__name__}: {error}; see {acquired[0].log}")


def _cpu_device_count(cpu_devices: int) -> int:
    """Returns the number of devices that a CPU is divided into; 0 for accelerators."""
    from experiments.runtime import xla_env

    xla_env.prepare(cpu_devices)
    import jax

    return len(jax.devices()) if jax.default_backend() == "cpu" else 0


def _train(cells: Sequence[Cell], splits: Sequence[str], interrupts: Interrupts) -> None:
    """Trains cells jointly, then scores each of them."""
    name = cells[0].name if len(cells) > 1 else ""
    first = open_run(cells[0].spec, str(cells[0].path), name=name, interrupts=interrupts)
    from experiments.runs.result import write_result
    from experiments.runs.trainer import train

    members = [first, *(first.sibling(cell.spec, str(cell.path), cell.name) for cell in cells[1:])]
    train(members)
    for member in members:
        member.finish()
        write_result(member, splits)
