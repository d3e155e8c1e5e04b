"""Writes the tables and figures of a sweep: scores and costs of each variant over its seeds.

    python -m experiments.report --workdir=runs/lineage

Prints the tables, and writes report.md, report.csv (one value per line), figures (PNG, SVG, PDF) and a single page with
all of it, report.html, to the folder's report/. Unfinished cells are counted and left out. --cells=FOLDER reads the
small files of finished cells instead.
"""

import pathlib
import tempfile

from absl import flags

from experiments.runtime import cli
from experiments.sweeps import archive
from experiments.sweeps.report import Report
from transformer import storage


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("workdir", None, "folder of a sweep; with --cells: where its report is written")
    flags.DEFINE_string("cells", "", "folder of finished cells, written by experiments.sweep --cells; default: none")


def main(args: cli.Args) -> None:
    """Writes the report, and prints its tables."""
    if not args.workdir:
        cli.exit_with_error("--workdir is needed: the folder of a sweep")
    with cli.user_errors(), tempfile.TemporaryDirectory() as temporary:
        workdir = storage.path(args.workdir)
        if args.cells:
            archive.restore_all(storage.path(args.cells), pathlib.Path(temporary))
        report = Report.from_folder(pathlib.Path(temporary) if args.cells else workdir)
    with cli.runtime_errors(), cli.user_errors():
        print(report.write(workdir / "report"))


if __name__ == "__main__":
    cli.run(define, main)
