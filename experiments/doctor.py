r"""Examines a corpus for faults: what is wrong, where, how often, and how to fix it.

    python -m experiments.doctor --config=configs/multi30k.py
    python -m experiments.doctor --config=configs/base.py --config.data.source=files \
        --config.data.path='corpus/{split}.{language}' [--fix=cleaned [--fix_references]]

A finding is FILE:LINE: severity: message [kind], or SPLIT:INDEX for a corpus without files, with examples and a remedy.
Files are examined completely, whatever data.train_pairs is, and a mixture as training reads it. With --json the last
line is a JSON object.

Exit status: 0 without errors among the findings, 1 with errors, 2 for an error in a flag or the config.
"""

import dataclasses
import json
import pathlib
import signal
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.runtime import cli, config_files
from transformer.spec import DataSpec, Spec


def define() -> None:
    """Defines the flags."""
    config_files.define_config_flag("config file")
    flags.DEFINE_list("splits", [], "splits, separated by commas; default: those for training, validation and test")
    flags.DEFINE_bool("json", False, "print the findings as a JSON object, on the last line")
    flags.DEFINE_string("fix", None, "folder for cleaned copies of the files; new or empty")
    flags.DEFINE_bool("fix_references", False, "with --fix: repair also the targets of validation and test splits")
    flags.DEFINE_integer("limit", 5, "examples per kind of fault and file", lower_bound=1)


def main(args: cli.Args) -> None:
    """Prints the findings, and exits with the status."""
    if not args.config:
        cli.exit_with_error("--config is needed: --config=configs/quickstart.py")
    with cli.user_errors():
        data = Spec.from_config(args.config).data
        splits = args.splits or [data.train_split, data.validation_split, data.test_split]
        report = examine(data, splits, args.limit, args.fix, args.fix_references)
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
    sys.exit(1 if report["errors"] else 0)


def examine(
    data: DataSpec, splits: Sequence[str], limit: int, fix: str | None = None, fix_references: bool = False
) -> dict[str, Any]:
    """Examines splits of a corpus and prints the findings; returns the object that --json prints.

    Raises:
      ValueError, FileNotFoundError: the corpus or a split does not exist, or the folder for copies is not empty.
    """
    from transformer.data.corpus import open_corpus
    from transformer.data.doctor import ERROR, CorpusExaminer, repair

    splits = list(dict.fromkeys(splits))
    if fix is not None:
        repair.check_fixable(data, pathlib.Path(fix))
    examiner = CorpusExaminer(data, limit)
    sizes = {}
    for name in splits:
        if data.has_line_files:
            sizes[name] = examiner.examine_files(name)
        else:
            is_partial = data.source == "files" and not data.mixture
            complete = dataclasses.replace(data, train_pairs=None) if is_partial else data
            sizes[name] = examiner.examine_pairs(name, open_corpus(complete).split(name))
        print(f"{name}: {sizes[name]:,} pairs", flush=True)
    examiner.compare_splits()
    findings = examiner.findings()
    copies = [] if fix is None else repair.write_copies(data, splits, findings, pathlib.Path(fix), fix_references)
    for finding in findings:
        print("", *finding.report_lines(), sep="\n")
    errors = sum(finding.severity == ERROR for finding in findings)
    warnings = len(findings) - errors
    by_severity = {"error": errors, "warning": warnings}
    counts = (f"{count} {severity}{'s' if count != 1 else ''}" for severity, count in by_severity.items())
    print("", ", ".join(counts), *(copy.summary() for copy in copies), sep="\n")
    return {
        "pairs": sizes,
        "errors": errors,
        "warnings": warnings,
        "findings": [finding.to_json() for finding in findings],
        "copies": [copy.to_json() for copy in copies],
    }


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):  # not on Windows
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` stops it without a message
    cli.run(define, main)
