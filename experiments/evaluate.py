"""Scores a trained model on a split of its corpus, or on any pair of files: the only door to a test split.

    python -m experiments.evaluate --workdir=runs/quickstart [--split=test]
    python -m experiments.evaluate --workdir=runs/quickstart --source=talk.fr --reference=talk.en

Several folders, --workdir=runs/a,runs/b, translate together, as an ensemble of models with one vocabulary.
Prints one JSON object last, on one line: bleu, chrf, bleu_paper, signatures, sentences, seconds.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import flags

from experiments import command


class Flags(NamedTuple):
    """What the command takes."""

    workdir: flags.FlagHolder
    split: flags.FlagHolder
    source: flags.FlagHolder
    reference: flags.FlagHolder
    output: flags.FlagHolder
    dtype: flags.FlagHolder


def define() -> Flags:
    """Defines the flags."""
    text = flags.DEFINE_string
    return Flags(
        workdir=flags.DEFINE_list("workdir", [], "folder of a run; several, with commas between: their ensemble"),
        split=text("split", None, "split of the run's corpus; default: its data.test_split"),
        source=text("source", None, "a file to translate in place of a split, a sentence a line, plain or .gz"),
        reference=text("reference", None, "its translation, line by line"),
        output=text("output", None, "where to write the translations; default: the run's translations/"),
        dtype=command.define_dtype(),
    )


def main(given: Flags) -> None:
    """Translates, prints the scores."""
    from experiments import devices, hosts
    from experiments.workdir import Workdir

    paths, split, source, reference, output, dtype = (flag.value for flag in given)
    if not paths:
        command.refuse("--workdir is needed: the folder of a run")
    if (source is None) != (reference is None):
        command.refuse("--source and --reference go together")
    if source and split:
        command.refuse("--split and --source: give one of them")
    with command.mistakes():
        parallel = Workdir(paths[0]).spec().parallel
        devices.prepare(parallel.cpu_devices)
        hosts.join(parallel.distributed)
        scores = evaluate(paths, split, source, reference, output, dtype)
    if hosts.leader():
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
    from experiments import hosts, trained
    from experiments.scoring import evaluate_split
    from experiments.workdir import Workdir
    from transformer.data.corpus import open_corpus, read_parallel

    workdir = Workdir(paths[0], hosts.leader())
    spec = workdir.spec()
    name = split or spec.data.test_split
    if source is not None and reference is not None:
        name = pathlib.Path(source).name
        pairs = read_parallel(source, reference)
    else:
        pairs = open_corpus(spec.data).split(name)
    system, params, steps = trained.load(paths, dtype)
    scores, texts = evaluate_split(system, params, pairs, spec.decode)
    if output is None:
        workdir.write_translations(name if len(paths) == 1 else f"{name}.ensemble", steps[0][-1], texts)
    elif hosts.leader():
        pathlib.Path(output).write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return {"split": name, **scores, "checkpoints": dict(zip(paths, steps, strict=True))}


if __name__ == "__main__":
    command.run(define, main)
