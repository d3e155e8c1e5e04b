"""Writes the tables and figures of a sweep: scores and costs of each variant over its seeds.

    python -m experiments.report --workdir=runs/lineage

Prints the tables, and writes report.md, report.csv (one value per line), figures (PNG, SVG, PDF) and a single page with
all of it, report.html, to the folder's report/. Unfinished cells are counted and left out.
"""

import pathlib

from absl import flags

from experiments.runtime import cli
from experiments.sweeps.report import Report


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("workdir", None, "folder of a sweep")


def main(args: cli.Args) -> None:
    """Writes the report, and prints its tables."""
    if not args.workdir:
        cli.exit_with_error("--workdir is needed: the folder of a sweep")
    with cli.user_errors():
        report = Report.from_folder(pathlib.Path(args.workdir))
    print(report.write(pathlib.Path(args.workdir) / "report"))


if __name__ == "__main__":
    cli.run(define, main)
