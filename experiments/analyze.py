"""Looks inside a trained model: what attends to what, and which part does the work.

    python -m experiments.analyze --workdir=runs/quickstart --text="Le poulet n'a pas traversé la route."
    python -m experiments.analyze --workdir=runs/quickstart --study=heads,alignment,phenomena
    python -m experiments.analyze --workdir=runs/quickstart --contrast=pairs.tsv
    python -m experiments.analyze --workdir=runs/quickstart --against=runs/no-scaling --split=validation

Of sentences (--text, --file or --split) it draws every attention, PNG and SVG, and writes attention.html, which needs
no network: hover a word and see where each head looks, and how that follows score by score from queries and keys.
Studies measure on a split; --contrast says of each line SOURCE, tab, RIGHT, tab, WRONG which translation is the more
probable, and with --study=heads also without which head it is not; --against compares two runs. Everything is written
to the run's analysis/, or to --output.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.runtime import cli

STUDIES = ("heads", "alignment", "phenomena", "training")


def define() -> None:
    """Defines the flags."""
    text, whole = flags.DEFINE_string, flags.DEFINE_integer
    text("workdir", None, "folder of a run")
    text("text", None, "a sentence to look at")
    text("reference", None, "its right translation, to be looked at too; with --file, a file of them")
    text("file", None, "sentences to look at, one a line, plain or .gz")
    text("split", None, "a split of the run's corpus to look at or to measure on; its data.validation_split")
    flags.DEFINE_list("study", [], f"what to measure: {', '.join(STUDIES)}, with commas between")
    text("contrast", None, "lines of source, right and wrong translation with tabs between")
    text("against", None, "folder of another run, to be compared on the same sentences")
    text("output", None, "folder for what is written; default: analysis/ in the run's")
    whole("pictures", 3, "sentences of a file or a split that are drawn", lower_bound=1)
    whole("sentences", 200, "sentences that studies and comparisons measure on", lower_bound=1)
    whole("beam_size", None, "hypotheses shown a sentence; default: as configured", lower_bound=1)


def main(args: cli.Args) -> None:
    """Looks at what the flags say, and prints what was measured and where it is."""
    asked = vars(args)
    if not asked["workdir"]:
        cli.refuse("--workdir is needed: the folder of a run")
    if unknown := [name for name in asked["study"] if name not in STUDIES]:
        cli.refuse(f"--study: {unknown[0]!r} is none of {', '.join(STUDIES)}")
    looks = [name for name in ("text", "file", "split") if asked[name]]
    if len(looks) > 1:
        cli.refuse(f"--{looks[0]} and --{looks[1]}: give one of them")
    if asked["reference"] and looks not in (["text"], ["file"]):
        cli.refuse("--reference goes with --text or --file")
    if not (looks or asked["study"] or asked["contrast"] or asked["against"]):
        cli.refuse("nothing to look at: give --text, --file, --split, --study, --contrast or --against")
    from experiments.runtime import xla_env

    with cli.mistakes():
        # One device: what is looked at is small, and eager.
        xla_env.prepare(0)
        for line in analyze(asked):
            print(line)


def analyze(asked: dict[str, Any]) -> list[str]:
    """Does what flags by these names ask for; returns what `main` prints."""
    from experiments.studies import attention, study
    from experiments.studies.inspected_run import Subject

    subject = Subject(asked["workdir"])
    subjects = [subject, *([Subject(asked["against"])] if asked["against"] else [])]
    folder = pathlib.Path(asked["output"] or subject.workdir.path / "analysis")
    folder.mkdir(parents=True, exist_ok=True)
    printed: list[str] = []
    studies = _studies(subjects, asked, folder)
    if asked["text"] or asked["file"] or not studies:
        chosen = attention.chosen(subject, asked)
        printed += [str(path) for path in attention.show(subjects, chosen, folder, asked["beam_size"])]
    if studies:
        title = f"Analysis of {' and '.join(map(attention.run_name, subjects))}"
        printed += [study.markdown for study in studies]
        printed += [str(path) for path in study.write(studies, title, folder)]
    return printed


def _studies(subjects: Sequence[Any], asked: dict[str, Any], folder: pathlib.Path) -> list[Any]:
    """Everything that is measured."""
    from experiments.studies import alignment, comparison, heads, phenomena, training_curves
    from transformer.data.corpus import open_corpus

    subject, found = subjects[0], []
    split = asked["split"] or subject.spec.data.validation_split
    compares = len(subjects) > 1 and not (asked["text"] or asked["file"])
    if asked["study"] or compares:
        pairs = list(open_corpus(subject.spec.data).split(split)[: asked["sentences"]])
        modules = (heads, alignment, phenomena, training_curves)
        named = dict(zip(STUDIES, modules, strict=True))
        found += [named[name].study(subject, split, pairs, folder) for name in asked["study"]]
        found += [comparison.study(subject, subjects[1], split, pairs)] if compares else []
    if asked["contrast"]:
        contrasts = phenomena.read_contrasts(asked["contrast"])
        name = pathlib.Path(asked["contrast"]).name
        found.append(phenomena.contrast(subject, contrasts, name))
        if "heads" in asked["study"]:
            found.append(heads.contrast(subject, contrasts, name))
    return found


if __name__ == "__main__":
    cli.run(define, main)
