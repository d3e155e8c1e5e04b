"""Scores a trained model on a split of its corpus, or on any pair of files: the only door to a test split.

    python -m experiments.evaluate --workdir=runs/quickstart [--split=test]
    python -m experiments.evaluate --workdir=runs/quickstart --source=talk.fr --reference=talk.en

Several folders, --workdir=runs/a,runs/b, translate together, as an ensemble of models with one vocabulary.
Prints one JSON object last, on one line: bleu, chrf, bleu_paper, signatures, sentences, seconds.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.runtime import cli


def define() -> None:
    """Defines the flags."""
    text = flags.DEFINE_string
    flags.DEFINE_list("workdir", [], "folder of a run; several, with commas between: their ensemble")
    text("split", None, "split of the run's corpus; default: its data.test_split")
    text("source", None, "a file to translate in place of a split, a sentence a line, plain or .gz")
    text("reference", None, "its translation, line by line")
    text("output", None, "where to write the translations; default: the run's translations/")
    cli.define_dtype()


def main(args: cli.Args) -> None:
    """Translates, prints the scores."""
    from experiments.runs.workdir import Workdir
    from experiments.runtime import distributed, xla_env

    split, source, reference = args.split, args.source, args.reference
    if not args.workdir:
        cli.refuse("--workdir is needed: the folder of a run")
    if (source is None) != (reference is None):
        cli.refuse("--source and --reference go together")
    if source and split:
        cli.refuse("--split and --source: give one of them")
    with cli.mistakes():
        parallel = Workdir(args.workdir[0]).spec().parallel
        xla_env.prepare(parallel.cpu_devices)
        distributed.join(parallel.distributed)
        scores = evaluate(args.workdir, split, source, reference, args.output, args.dtype)
    if distributed.leader():
        print(json.dumps(scores, ensure_ascii=False))


def evaluate(
    paths: Sequence[str],
    split: str | None,
    source: str | None,
    reference: str | None,
    output: str | None,
    dtype: str | None = None,
) -> dict[str, Any]:
    """Scores a run, or the ensemble of several, on a split or on a pair of files; returns what `main` prints."""
    from experiments.runs import loading
    from experiments.runs.scoring import evaluate_split
    from experiments.runs.workdir import Workdir
    from experiments.runtime import distributed
    from transformer.data.corpus import open_corpus, read_parallel

    workdir = Workdir(paths[0], distributed.leader())
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
    elif distributed.leader():
        pathlib.Path(output).write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return {"split": name, **scores, "checkpoints": dict(zip(paths, steps, strict=True))}


if __name__ == "__main__":
    cli.run(define, main)
