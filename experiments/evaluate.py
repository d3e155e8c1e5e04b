"""Scores a trained model on a split of its corpus, or on a pair of files.

    python -m experiments.evaluate --workdir=runs/quickstart [--split=test]
    python -m experiments.evaluate --workdir=runs/quickstart --source=talk.fr --reference=talk.en

Several folders, --workdir=runs/a,runs/b, form an ensemble; their models must have the same vocabulary.
The last line is a JSON object: bleu, chrf, bleu_paper, signatures, sentences, seconds.
A run trained in bfloat16 is scored in float32, unless --dtype is given; see the help of --dtype.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.runtime import cli
from transformer.spec import SCORING_DTYPE


def define() -> None:
    """Defines the flags."""
    text = flags.DEFINE_string
    flags.DEFINE_list("workdir", [], "folder of a run; several, separated by commas: an ensemble")
    text("split", None, "split of the run's corpus; default: its data.test_split")
    text("source", None, "file to translate instead of a split, one sentence per line, plain or .gz")
    text("reference", None, "reference translation of --source, line by line")
    text("output", None, "file to write the translations to; default: in the run's translations/")
    cli.define_dtype_flag(SCORING_DTYPE)


def main(args: cli.Args) -> None:
    """Translates, and prints the scores."""
    from experiments.runs.workdir import Workdir
    from experiments.runtime import distributed, xla_env

    split, source, reference = args.split, args.source, args.reference
    if not args.workdir:
        cli.exit_with_error("--workdir is needed: the folder of a run")
    if (source is None) != (reference is None):
        cli.exit_with_error("--source and --reference must be given together")
    if source and split:
        cli.exit_with_error("--split and --source exclude each other")
    with cli.user_errors():
        parallel = Workdir(args.workdir[0]).spec().parallel
        xla_env.prepare(parallel.cpu_devices)
        distributed.initialize(parallel.distributed)
        scores = evaluate(args.workdir, split, source, reference, args.output, args.dtype)
    if distributed.is_primary():
        print(json.dumps(scores, ensure_ascii=False))


def evaluate(
    paths: Sequence[str],
    split: str | None,
    source: str | None,
    reference: str | None,
    output: str | None,
    dtype: str = SCORING_DTYPE,
) -> dict[str, Any]:
    """Scores a run, or an ensemble of runs, on a split or a pair of files; returns the scores that `main` prints."""
    from experiments.runs import loading
    from experiments.runs.scoring import evaluate_split
    from experiments.runs.workdir import Workdir
    from experiments.runtime import distributed
    from transformer.data.corpus import open_corpus, read_parallel

    workdir = Workdir(paths[0], distributed.is_primary())
    spec = workdir.spec()
    name = split or spec.data.test_split
    if source is not None and reference is not None:
        name = pathlib.Path(source).name
        pairs = read_parallel(source, reference)
    else:
        pairs = open_corpus(spec.data).split(name)
    system, params, steps = loading.load(paths, dtype)
    scores, texts = evaluate_split(system, params, pairs, spec.decode)
    if output is None:
        workdir.write_translations(name if len(paths) == 1 else f"{name}.ensemble", steps[0][-1], texts)
    elif distributed.is_primary():
        pathlib.Path(output).write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return {"split": name, **scores, "checkpoints": dict(zip(paths, steps, strict=True))}


if __name__ == "__main__":
    cli.run(define, main)
