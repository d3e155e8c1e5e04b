"""Examines a corpus before anything is trained on it: what is wrong, where, how often, and what to do about it.

    python -m experiments.doctor --config=configs/multi30k.py
    python -m experiments.doctor --config=configs/base.py --config.data.source=files \
        --config.data.path='corpus/{split}.{language}' [--fix=cleaned]

Each finding is FILE:LINE: severity: message [kind], or SPLIT:INDEX for a corpus without files, with examples and a
remedy. Files are examined whole, whatever data.train_pairs says. --json prints one JSON object last, on one line.

Exit status: 0 without an error among the findings, 1 with one, 2 for a mistake in the flags or the config.
"""

import json
import pathlib
import signal
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from experiments.runtime import cli
from transformer.spec import DataSpec, Spec


def define() -> None:
    """Defines the flags."""
    config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT")
    flags.DEFINE_list("splits", [], "with commas between; default: the config's train, validation and test splits")
    flags.DEFINE_bool("json", False, "print one JSON object last, on one line")
    flags.DEFINE_string("fix", None, "folder for cleaned copies of a corpus of files; new, or empty")
    flags.DEFINE_integer("limit", 5, "examples shown of each kind of fault in each file", lower_bound=1)


def main(args: cli.Args) -> None:
    """Examines, prints, and ends with the status."""
    if not args.config:
        cli.refuse("--config is needed: --config=configs/quickstart.py")
    with cli.mistakes():
        data = Spec.from_config(args.config).data
        splits = args.splits or [data.train_split, data.validation_split, data.test_split]
        report = examine(data, splits, args.limit, args.fix)
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
    sys.exit(1 if report["errors"] else 0)


def examine(data: DataSpec, splits: Sequence[str], limit: int, fix: str | None = None) -> dict[str, Any]:
    """Examines splits of a corpus and prints what is found; returns what --json prints.

    Raises:
      ValueError, FileNotFoundError: no such corpus or split, or a folder for copies that is in use.
    """
    from transformer.data.corpus import open_corpus
    from transformer.data.doctor import ERROR, Examination, repair

    splits = list(dict.fromkeys(splits))
    if fix is not None:
        repair.check(data, pathlib.Path(fix))
    examination = Examination(data, limit)
    sizes = {}
    for name in splits:
        if data.source == "files":
            sizes[name] = examination.files(name)
        else:
            sizes[name] = examination.pairs(name, open_corpus(data).split(name))
        print(f"{name}: {sizes[name]:,} pairs", flush=True)
    examination.overlaps()
    findings = examination.findings()
    copies = [] if fix is None else repair.write(data, splits, findings, pathlib.Path(fix))
    for finding in findings:
        print("", *finding.text(), sep="\n")
    errors = sum(finding.severity == ERROR for finding in findings)
    warnings = len(findings) - errors
    counted = (
        f"{count} {what}{'s' if count != 1 else ''}" for count, what in ((errors, "error"), (warnings, "warning"))
    )
    print("", ", ".join(counted), *(copy.text() for copy in copies), sep="\n")
    return {
        "pairs": sizes,
        "errors": errors,
        "warnings": warnings,
        "findings": [finding.record() for finding in findings],
        "copies": [copy.record() for copy in copies],
    }


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly, as it ends other filters
    cli.run(define, main)
