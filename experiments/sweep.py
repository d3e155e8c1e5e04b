"""Trains every variant of a sweep with several seeds, those that are not finished yet, one after the other.

    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/sweeps/lineage.py --workdir=runs/lineage

The same command again goes on where it was cut off; started several times, also on several hosts with a common folder,
each process takes cells that nobody works on. A cell that fails is recorded and the others go on. --dry_run shows what
would be done.
"""

import importlib.util
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
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from experiments import cells, claims, command
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
    )


def main(given: Flags) -> None:
    """Works on the sweep until there is nothing left to do."""
    if not given.config.value or not given.sweep.value or not given.workdir.value:
        command.refuse("--config, --sweep and --workdir are needed")
    folder = pathlib.Path(given.workdir.value)
    with command.mistakes():
        base = given.config.value.to_dict()
        sweep, published = load(given.sweep.value)
        every = cells.expand(base, sweep, range(given.seeds.value), folder)
        chosen = [cell for cell in every if re.search(given.only.value, cell.name)]
        if not chosen:
            raise ValueError(f"--only={given.only.value}: no cell of {len(every)} has such a name")
        if not given.dry_run.value:
            cells.begin(folder, base, sweep, published)
    runner = Runner(folder, chosen, given.splits.value, given.claim_expiry.value)
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


def load(argument: str) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, float]]]:
    """The variants of FILE or FILE:ARGUMENT, and what was published of them.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it has no `get_sweep`, or refuses its argument.
    """
    name, _, chosen = argument.partition(":")
    path = pathlib.Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"--sweep: {path} does not exist")
    found = importlib.util.spec_from_file_location(path.stem, path)
    if found is None or found.loader is None:
        raise ValueError(f"--sweep: {path} is not a Python file")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    if not hasattr(module, "get_sweep"):
        raise ValueError(f"--sweep: {path} has no get_sweep; see configs/variants.py")
    return module.get_sweep(*([chosen] if chosen else [])), getattr(module, "PUBLISHED", {})


class Runner:
    """Works on the cells of a sweep.

    Args:
      folder: of the sweep.
      chosen: its cells.
      splits: what finished runs are scored on.
      expiry: of claims, seconds.
    """

    def __init__(self, folder: pathlib.Path, chosen: Sequence[Cell], splits: Sequence[str], expiry: float) -> None:
        self._claims = folder / "claims"
        self._cells, self._splits, self._expiry = chosen, splits, expiry
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
        """Takes one cell after the other until none is free; the names of those that failed."""
        seconds: list[float] = []
        for cell in self._free():
            self._line(f"{cell.name}: {self.status(cell)}")
            begun = time.monotonic()
            self._run(cell)
            seconds.append(time.monotonic() - begun)
            left = sum(not cell.over for cell in self._cells)
            self._line(
                f"{cell.name}: {self.status(cell)}; {seconds[-1] / 60:.1f} minutes; {left} of {len(self._cells)} cells "
                f"left, some {left * statistics.mean(seconds) / 60:.0f} minutes alone"
            )
        return [cell.name for cell in self._cells if cell.failed.exists()]

    def _free(self) -> Iterator[Cell]:
        """Cells that are not over and nobody works on, each once."""
        tried: set[str] = set()
        while True:
            for cell in self._cells:
                if cell.name in tried or cell.over or claims.owner(self._claims, cell.name, self._expiry):
                    continue
                tried.add(cell.name)
                yield cell
                break
            else:
                return

    def _run(self, cell: Cell) -> None:
        """A cell in a process of its own: what it does to memory and devices ends with it."""
        child = multiprocessing.get_context("spawn").Process(
            target=work_on, args=(cell, self._claims, self._splits, self._expiry)
        )
        child.start()
        try:
            child.join()
        finally:
            child.terminate()
            child.join()
        if child.exitcode and not cell.over:
            cell.fail(f"ended with status {child.exitcode}; {cell.log} may say why")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False)


def work_on(cell: Cell, folder: pathlib.Path, splits: Sequence[str], expiry: float) -> None:
    """Trains and measures a cell in this process, unless somebody else has claimed it in the folder of claims.

    What goes wrong is written to the cell's failed.txt. Ends the process when the claim is lost.
    """
    claimed = claims.claim(folder, cell.name, expiry)
    if claimed is None or cell.over:
        return
    cell.log.parent.mkdir(parents=True, exist_ok=True)
    with claimed, cell.log.open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)  # what C++ libraries write, too
        os.dup2(log.fileno(), 2)
        try:
            from experiments.train import train

            train(cell.spec, str(cell.path))
            from experiments.measure import measure

            measure(cell.path, splits)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a mistake in a setting ends the program: SystemExit
            traceback.print_exc()
            cell.fail(f"{type(error).__name__}: {error}; see {cell.log}")


if __name__ == "__main__":
    command.run(define, main)
