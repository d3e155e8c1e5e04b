"""Tables and pictures of a sweep: every variant's scores over its seeds, what they cost, and where they differ.

    python -m experiments.report --workdir=runs/lineage

Writes report.md, report.csv (one value a line), pictures (PNG, SVG, PDF) and all of it as one page, report.html, to the
folder's report/, and prints the tables. Cells that are not finished are left out and counted.
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
        cli.refuse("--workdir is needed: the folder of a sweep")
    with cli.mistakes():
        report = Report.of(pathlib.Path(args.workdir))
    print(report.write(pathlib.Path(args.workdir) / "report"))


if __name__ == "__main__":
    cli.run(define, main)
