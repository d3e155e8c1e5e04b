"""Trains every variant of a sweep with several seeds, those that are not finished yet, one after the other.

    python -m experiments.sweep --config=configs/quickstart.py --sweep=configs/sweeps/lineage.py --workdir=runs/lineage

The same command again goes on where it was cut off; started several times, also on several hosts with a common folder,
each process takes cells that nobody works on. A cell that fails is recorded and the others go on. --dry_run shows what
would be done.

Cells that differ in a seed, a learning rate or another number that is no part of the program train together, as members
of a population: --population=auto makes it as large as there are devices on a CPU, and 8 elsewhere.
"""

import pathlib
from typing import Any

from absl import flags
from ml_collections import config_flags

from experiments.runtime import cli
from experiments.sweeps import cells
from experiments.sweeps.scheduler import Runner


def define() -> None:
    """Defines the flags."""
    text, yes = flags.DEFINE_string, flags.DEFINE_bool
    config_flags.DEFINE_config_file("config", None, "the base; a file of configs/, FILE or FILE:ARGUMENT")
    text("sweep", None, "the variants; a file of configs/sweeps or configs/ablations, FILE or FILE:ARGUMENT")
    text("workdir", None, "folder of the sweep, made if it does not exist")
    flags.DEFINE_integer("seeds", 3, "train.seed is 0, 1, ... up to this many", lower_bound=1)
    flags.DEFINE_list("splits", [], "what finished runs are scored on; default: the config's data.test_split")
    text("only", "", "work on cells whose VARIANT-SEED, spaces or _ in it, this regular expression is found in")
    yes("dry_run", False, "show the cells and what is done, and do nothing")
    yes("retry", False, "try failed cells again")
    flags.DEFINE_float("claim_expiry", 120.0, "seconds after which a silent process is taken for dead", 5.0)
    text("population", "auto", "how many cells that differ in numbers alone train as one program: auto, off or K")


def main(args: cli.Args) -> None:
    """Works on the sweep until there is nothing left to do."""
    if not args.config or not args.sweep or not args.workdir:
        cli.refuse("--config, --sweep and --workdir are needed")
    folder = pathlib.Path(args.workdir)
    with cli.mistakes():
        population = population_size(args.population)
        base = args.config.to_dict()
        sweep, published = load(args.sweep)
        every = cells.expand(base, sweep, range(args.seeds), folder)
        chosen = cells.named(every, args.only)
        if not args.dry_run:
            cells.begin(folder, base, sweep, published)
    runner = Runner(folder, chosen, args.splits, args.claim_expiry, population)
    if args.dry_run:
        for cell in chosen:
            print(f"{cell.name}: {runner.status(cell)}")
        return
    for cell in chosen if args.retry else []:
        cell.failed.unlink(missing_ok=True)
    cli.end_on_sigterm()
    failed = runner.work()
    if failed:
        cli.refuse(f"{len(failed)} of {len(chosen)} cells failed: {', '.join(failed)}; --dry_run says why")


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
    module = cli.module_of("--sweep", path, "get_sweep")
    return module.get_sweep(*([chosen] if chosen else [])), getattr(module, "PUBLISHED", {})


if __name__ == "__main__":
    cli.run(define, main)
