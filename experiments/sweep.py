"""Trains every variant of a sweep with several seeds.

    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/sweeps/lineage.py --workdir=runs/lineage

A cell is one variant with one seed. The same command continues an interrupted sweep. Several processes, also on several
hosts with a shared folder, can work on one sweep. A cell that fails is recorded, and the others continue. --dry_run
prints the status of every cell.

Cells that differ only in hyperparameters (seed, learning rate, dropout and others that are arguments of the compiled
program) train jointly, as a population; --population=auto: one member per device on a CPU, 8 members elsewhere.
"""

import pathlib
from typing import Any

from absl import flags
from ml_collections import config_flags

from experiments.runtime import cli
from experiments.sweeps import cells
from experiments.sweeps.scheduler import Scheduler


def define() -> None:
    """Defines the flags."""
    text, boolean = flags.DEFINE_string, flags.DEFINE_bool
    config_flags.DEFINE_config_file("config", None, "base config, FILE or FILE:ARGUMENT, such as those in configs/")
    text("sweep", None, "variants, FILE or FILE:ARGUMENT with get_sweep(), as in configs/sweeps/, configs/ablations/")
    text("workdir", None, "folder of the sweep, created if missing")
    flags.DEFINE_integer("seeds", 3, "number of seeds; train.seed is 0, 1, ...", lower_bound=1)
    flags.DEFINE_list("splits", [], "splits that finished runs are scored on; default: the config's data.test_split")
    text("only", "", "regular expression; only cells whose VARIANT-SEED matches, with spaces or _ in VARIANT")
    boolean("dry_run", False, "print the status of every cell, and do nothing")
    boolean("retry", False, "retry failed cells")
    flags.DEFINE_float("claim_expiry", 120.0, "seconds without a sign of life until another process takes over", 5.0)
    text("population", "auto", "size of populations: auto, off or a number")


def main(args: cli.Args) -> None:
    """Trains cells until all are finished or held by other processes."""
    if not args.config or not args.sweep or not args.workdir:
        cli.exit_with_error("--config, --sweep and --workdir are needed")
    folder = pathlib.Path(args.workdir)
    with cli.user_errors():
        population = population_size(args.population)
        base = args.config.to_dict()
        sweep, published = load(args.sweep)
        all_cells = cells.expand(base, sweep, range(args.seeds), folder)
        selected = cells.select(all_cells, args.only)
        if not args.dry_run:
            cells.create_or_check(folder, base, sweep, published)
    scheduler = Scheduler(folder, selected, args.splits, args.claim_expiry, population)
    if args.dry_run:
        for cell in selected:
            print(f"{cell.name}: {scheduler.status(cell)}")
        return
    for cell in selected if args.retry else []:
        cell.failed.unlink(missing_ok=True)
    cli.exit_on_sigterm()
    if failed := scheduler.run():
        count = f"{len(failed)} of {len(selected)} cells failed"
        cli.exit_with_error(f"{count}: {', '.join(failed)}; --dry_run prints the reasons")


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
    path, _, value = argument.partition(":")
    module = cli.load_module("--sweep", path, "get_sweep")
    return module.get_sweep(*([value] if value else [])), getattr(module, "PUBLISHED", {})


if __name__ == "__main__":
    cli.run(define, main)
