"""Trains every variant of a sweep with several seeds, those that are not finished yet, one after the other.

    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/sweeps/lineage.py --workdir=runs/lineage

The same command again goes on where it was cut off; started several times, also on several hosts with a common folder,
each process takes cells that nobody works on. A cell that fails is recorded and the others go on. --dry_run shows what
would be done.

Cells that differ in a seed, a learning rate or another number that is no part of the program train together, as members
of a population: --population=auto makes it as large as there are devices on a CPU, and 8 elsewhere.
"""

import contextlib
import json
import multiprocessing
import os
import pathlib
import re
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from experiments import cells, claims, command, together
from experiments.cells import Cell
from transformer.training import metrics


class Flags(NamedTuple):
    """What the command takes."""

    config: flags.FlagHolder
    sweep: flags.FlagHolder
    workdir: flags.FlagHolder
    seeds: flags.FlagHolder
    splits: flags.FlagHolder
    only: flags.FlagHolder
    dry_run: flags.FlagHolder
    retry: flags.FlagHolder
    claim_expiry: flags.FlagHolder
    population: flags.FlagHolder


def define() -> Flags:
    """Defines the flags."""
    text, yes = flags.DEFINE_string, flags.DEFINE_bool
    return Flags(
        config_flags.DEFINE_config_file("config", None, "the base; a file of configs/, FILE or FILE:ARGUMENT"),
        text("sweep", None, "the variants; a file of configs/sweeps or configs/ablations, FILE or FILE:ARGUMENT"),
        text("workdir", None, "folder of the sweep, made if it does not exist"),
        flags.DEFINE_integer("seeds", 3, "train.seed is 0, 1, ... up to this many", lower_bound=1),
        flags.DEFINE_list("splits", [], "what finished runs are scored on; default: the config's data.test_split"),
        text("only", "", "work on cells whose VARIANT-SEED this regular expression is found in"),
        yes("dry_run", False, "show the cells and what is done, and do nothing"),
        yes("retry", False, "try failed cells again"),
        flags.DEFINE_float("claim_expiry", 120.0, "seconds after which a silent process is taken for dead", 5.0),
        text("population", "auto", "how many cells that differ in numbers alone train as one program: auto, off or K"),
    )


def main(given: Flags) -> None:
    """Works on the sweep until there is nothing left to do."""
    if not given.config.value or not given.sweep.value or not given.workdir.value:
        command.refuse("--config, --sweep and --workdir are needed")
    folder = pathlib.Path(given.workdir.value)
    with command.mistakes():
        population = population_size(given.population.value)
        base = given.config.value.to_dict()
        sweep, published = load(given.sweep.value)
        every = cells.expand(base, sweep, range(given.seeds.value), folder)
        chosen = [cell for cell in every if re.search(given.only.value, cell.name)]
        if not chosen:
            raise ValueError(f"--only={given.only.value}: no cell of {len(every)} has such a name")
        if not given.dry_run.value:
            cells.begin(folder, base, sweep, published)
    runner = Runner(folder, chosen, given.splits.value, given.claim_expiry.value, population)
    if given.dry_run.value:
        for cell in chosen:
            print(f"{cell.name}: {runner.status(cell)}")
        return
    for cell in chosen if given.retry.value else []:
        cell.failed.unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that a cell's process ends with us
    failed = runner.work()
    if failed:
        command.refuse(f"{len(failed)} of {len(chosen)} cells failed: {', '.join(failed)}; --dry_run says why")


def population_size(text: str) -> int:
    """The members of a population as --population says them; 0 for "auto".

    Raises:
      ValueError: neither "auto" nor "off" nor a number.
    """
    named = {"auto": 0, "off": 1}
    if text not in named and not (text.isdecimal() and int(text)):
        raise ValueError(f"--population: {text!r} is neither auto nor off nor a number of cells")
    return named[text] if text in named else int(text)


def load(argument: str) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, float]]]:
    """The variants of FILE or FILE:ARGUMENT, and what was published of them.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it has no `get_sweep`, or refuses its argument.
    """
    path, _, chosen = argument.partition(":")
    module = command.module_of("--sweep", path, "get_sweep")
    return module.get_sweep(*([chosen] if chosen else [])), getattr(module, "PUBLISHED", {})


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
        self._tried: set[str] = set()
        self._alone: set[str] = set()  # cells that failed with others, and are to be tried by themselves
        self._console = Console(highlight=False, soft_wrap=True)

    def status(self, cell: Cell) -> str:
        """Where a cell stands, in words."""
        if cell.failed.exists():
            return "failed: " + cell.failed.read_text(encoding="utf-8").strip().rpartition("\n")[2]
        if cell.result.exists():
            splits = json.loads(cell.result.read_text(encoding="utf-8"))["splits"]
            return "done: " + ", ".join(f"{split} BLEU {scores['bleu']:.2f}" for split, scores in splits.items())
        events = metrics.read(cell.path)
        done = f"{events[-1]['step'] if events else 0} of {cell.spec.train.steps} updates"
        owner = claims.owner(self._claims, cell.name, self._expiry)
        return f"{done}, {owner} is at it" if owner else done

    def work(self) -> list[str]:
        """Takes one group of cells after the other until none is free; the names of those that failed."""
        seconds: list[float] = []
        self._tried.clear()
        while free := self._free():
            begun = time.monotonic()
            taken = self._run(free)
            if not taken:
                continue
            seconds += [(time.monotonic() - begun) / len(taken)] * len(taken)
            left = sum(not cell.over for cell in self._cells)
            for cell in taken:
                self._line(f"{cell.name}: {self.status(cell)}")
            self._line(
                f"{len(taken)} cells in {(time.monotonic() - begun) / 60:.1f} minutes; {left} of {len(self._cells)} "
                f"left, some {left * statistics.mean(seconds) / 60:.0f} minutes alone"
            )
        return [cell.name for cell in self._cells if cell.failed.exists()]

    def _free(self) -> list[Cell]:
        """Cells to begin with next, which can be trained together: not over, not tried, and nobody works on them."""
        free = [
            cell
            for cell in self._cells
            if not (cell.name in self._tried or cell.over or claims.owner(self._claims, cell.name, self._expiry))
        ]
        apart = [[cell] for cell in free if cell.name in self._alone]
        others = [cell for cell in free if cell.name not in self._alone]
        return next(iter((*apart, *together.groups(others, self._population or together.LARGEST))), [])

    def _run(self, cells: list[Cell]) -> list[Cell]:
        """Cells in a process of their own: what they do to memory and devices ends with it. Returns those it took."""
        for cell in cells:
            self._line(f"{cell.name}: {self.status(cell)}")
        context = multiprocessing.get_context("spawn")
        names = context.SimpleQueue()
        child = context.Process(
            target=work_on, args=(cells, self._claims, self._splits, self._expiry, self._population, names)
        )
        child.start()
        try:
            child.join()
        finally:
            child.terminate()
            child.join()
        known = set() if names.empty() else set(names.get())
        taken = [cell for cell in cells if cell.name in known]
        undone = [cell for cell in taken if not cell.over]
        if len(taken) > 1 and undone:
            self._alone.update(cell.name for cell in undone)
            self._line("that did not work together; one by one now")
        elif child.exitcode:
            for cell in undone or cells[:1]:
                cell.fail(f"ended with status {child.exitcode}; {cell.log} may say why")
        self._tried.update(cell.name for cell in (taken or cells) if cell.name not in self._alone or len(taken) == 1)
        return taken

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False)


def work_on(
    cells: Sequence[Cell],
    folder: pathlib.Path,
    splits: Sequence[str],
    expiry: float,
    population: int,
    names: Any,
) -> None:
    """Trains and measures cells in this process, but for those that somebody else has claimed in the folder of claims.

    What goes wrong with a cell that is alone is written to its failed.txt. Ends the process when a claim is lost.

    Args:
      cells: that can be trained together.
      folder: of claims.
      splits: what finished runs are scored on.
      expiry: of claims, seconds.
      population: how many cells at most; 0: as suits the devices.
      names: a queue, is told which cells were taken.
    """
    from experiments import devices

    devices.prepare(cells[0].spec.parallel.cpu_devices)
    with contextlib.ExitStack() as held:
        taken: list[Cell] = []
        for cell in cells:
            if len(taken) == (population or _as_suits_devices()):
                break
            claimed = claims.claim(folder, cell.name, expiry)
            if claimed is not None and not cell.over:
                held.enter_context(claimed)
                taken.append(cell)
        names.put([cell.name for cell in taken])
        if not taken:
            return
        for cell in taken:
            cell.log.parent.mkdir(parents=True, exist_ok=True)
        for cell in taken[1:]:
            with cell.log.open("a", encoding="utf-8") as log:
                print(f"trained together with {taken[0].name}; see {taken[0].log}", file=log)
        log = held.enter_context(taken[0].log.open("a", encoding="utf-8"))
        os.dup2(log.fileno(), 1)  # what C++ libraries write, too
        os.dup2(log.fileno(), 2)
        try:
            _train(taken, splits)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a mistake in a setting ends the program: SystemExit
            traceback.print_exc()
            if len(taken) == 1:
                taken[0].fail(f"{type(error).__name__}: {error}; see {taken[0].log}")


def _as_suits_devices() -> int:
    """Members of a population: one a device of a CPU, where more only wait for each other; elsewhere many."""
    import jax

    return len(jax.devices()) if jax.default_backend() == "cpu" else together.LARGEST


def _train(cells: Sequence[Cell], splits: Sequence[str]) -> None:
    """Trains cells together, then scores and measures each."""
    from experiments import run as runs
    from experiments.measure import measure

    begun = time.monotonic()
    name = cells[0].name if len(cells) > 1 else ""
    first = runs.Run(cells[0].spec, str(cells[0].path), (), time.monotonic, name)
    members = [first, *(first.beside(cell.spec, str(cell.path), cell.name) for cell in cells[1:])]
    runs.train(members)
    for member in members:
        member.finish(begun)
        measure(member, splits)


if __name__ == "__main__":
    command.run(define, main)
