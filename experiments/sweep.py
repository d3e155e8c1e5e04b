"""Trains every variant of a sweep with several seeds.

    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/sweeps/lineage.py --workdir=runs/lineage

A cell is one variant with one seed. The same command continues an interrupted sweep. Several processes, also on several
hosts with a shared folder, can work on one sweep. A cell that fails is recorded, and the others continue. --dry_run
prints the status of every cell.

Cells that differ only in hyperparameters (seed, learning rate, dropout and others that are arguments of the compiled
program) train jointly, as a population; --population=auto: one member per device on a CPU, 8 members elsewhere.
On a CPU, --workers=auto trains one cell per core instead, which is faster. --cells=FOLDER keeps finished cells as small
files, from which a sweep continues on another machine.
"""

from typing import Any

from absl import flags

from experiments.runs import trackers
from experiments.runtime import cli, config_files
from experiments.sweeps import cells, workers
from experiments.sweeps.scheduler import Scheduler
from transformer import storage


def define() -> None:
    """Defines the flags."""
    text, boolean = flags.DEFINE_string, flags.DEFINE_bool
    config_files.define_config_flag("base config file")
    text("sweep", None, "variants, FILE or FILE:ARGUMENT with get_sweep(), as in configs/sweeps/, configs/ablations/")
    text("workdir", None, "folder of the sweep, created if missing")
    flags.DEFINE_integer("seeds", 3, "number of seeds; train.seed is 0, 1, ...", lower_bound=1)
    flags.DEFINE_list("splits", [], "splits that finished runs are scored on; default: the config's data.test_split")
    text("only", "", "regular expression; only cells whose VARIANT-SEED matches, with spaces or _ in VARIANT")
    boolean("dry_run", False, "print the status of every cell, and do nothing")
    boolean("retry", False, "retry failed cells")
    flags.DEFINE_float("claim_expiry", 120.0, "seconds without a sign of life until another process takes over", 5.0)
    text("population", "auto", "size of populations: auto, off or a number")
    text("workers", "auto", "cells that train side by side, each on its own core: auto, or a number")
    text("cells", "", "folder of finished cells as small files: written, and taken instead of training; default: none")


def main(args: cli.Args) -> None:
    """Trains cells until all are finished or held by other processes."""
    if not args.config or not args.sweep or not args.workdir:
        cli.exit_with_error("--config, --sweep and --workdir are needed")
    with cli.user_errors():
        folder = storage.path(args.workdir)
        population = population_size(args.population)
        count = worker_count(args.workers)
        base = args.config.to_dict()
        sweep, published = load(args.sweep)
        all_cells = cells.expand(base, sweep, range(args.seeds), folder)
        selected = cells.select(all_cells, args.only)
        for cell in selected:
            trackers.check(cell.spec)
        if not args.dry_run:
            cells.create_or_check(folder, base, sweep, published)
        archive_folder = storage.path(args.cells) if args.cells else None
        scheduler = Scheduler(folder, selected, args.splits, args.claim_expiry, population, archive_folder)
        if archive_folder and not args.dry_run:
            cells.create_or_check(archive_folder, cells.without_machine(base), sweep, published)
            scheduler.restore()
    if args.dry_run:
        for cell in selected:
            print(f"{cell.name}: {scheduler.status(cell)}")
        return
    for cell in selected if args.retry else []:
        cell.failed.unlink(missing_ok=True)
    cli.exit_on_sigterm()
    if count == 0:
        count = workers.default_count([cell.spec for cell in selected if not cell.finished]) if population < 2 else 1
    with cli.runtime_errors():
        failed = scheduler.run_workers(count) if count > 1 else scheduler.run()
    if failed:
        count = f"{len(failed)} of {len(selected)} cells failed"
        cli.exit_with_error(f"{count}: {', '.join(failed)}; --dry_run prints the reasons")


def worker_count(text: str) -> int:
    """Returns the number of workers that --workers specifies; 0 for "auto".

    Raises:
      ValueError: it is neither "auto" nor a positive number.
    """
    if text != "auto" and not (text.isdecimal() and int(text)):
        raise ValueError(f"--workers: {text!r} is neither auto nor a number of at least 1")
    return 0 if text == "auto" else int(text)


def population_size(text: str) -> int:
    """Returns the size of populations that --population specifies; 0 for "auto".

    Raises:
      ValueError: it is neither "auto" nor "off" nor a number.
    """
    sizes = {"auto": 0, "off": 1}
    if text not in sizes and not (text.isdecimal() and int(text)):
        raise ValueError(f"--population: {text!r} is neither auto nor off nor a number")
    return sizes[text] if text in sizes else int(text)


def load(argument: str) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, float]]]:
    """Loads the variants of FILE or FILE:ARGUMENT, and their published scores.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: it has no `get_sweep`, or the argument is invalid.
    """
    sweep, module = config_files.call_function("--sweep", argument, "get_sweep")
    return sweep, getattr(module, "PUBLISHED", {})


if __name__ == "__main__":
    cli.run(define, main, resumes=True)
