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
from typing import Any, NamedTuple

from absl import flags

from experiments import command

STUDIES = ("heads", "alignment", "phenomena", "training")


class Flags(NamedTuple):
    """What the command takes."""

    workdir: flags.FlagHolder
    text: flags.FlagHolder
    reference: flags.FlagHolder
    file: flags.FlagHolder
    split: flags.FlagHolder
    study: flags.FlagHolder
    contrast: flags.FlagHolder
    against: flags.FlagHolder
    output: flags.FlagHolder
    pictures: flags.FlagHolder
    sentences: flags.FlagHolder
    beam_size: flags.FlagHolder


def define() -> Flags:
    """Defines the flags."""
    text, whole = flags.DEFINE_string, flags.DEFINE_integer
    return Flags(
        workdir=text("workdir", None, "folder of a run"),
        text=text("text", None, "a sentence to look at"),
        reference=text("reference", None, "its right translation, to be looked at too; with --file, a file of them"),
        file=text("file", None, "sentences to look at, one a line, plain or .gz"),
        split=text("split", None, "a split of the run's corpus to look at or to measure on; its data.validation_split"),
        study=flags.DEFINE_list("study", [], f"what to measure: {', '.join(STUDIES)}, with commas between"),
        contrast=text("contrast", None, "lines of source, right and wrong translation with tabs between"),
        against=text("against", None, "folder of another run, to be compared on the same sentences"),
        output=text("output", None, "folder for what is written; default: analysis/ in the run's"),
        pictures=whole("pictures", 3, "sentences of a file or a split that are drawn", lower_bound=1),
        sentences=whole("sentences", 200, "sentences that studies and comparisons measure on", lower_bound=1),
        beam_size=whole("beam_size", None, "hypotheses shown a sentence; default: as configured", lower_bound=1),
    )


def main(given: Flags) -> None:
    """Looks at what the flags say, and prints what was measured and where it is."""
    asked = {name: flag.value for name, flag in given._asdict().items()}
    if not asked["workdir"]:
        command.refuse("--workdir is needed: the folder of a run")
    if unknown := [name for name in asked["study"] if name not in STUDIES]:
        command.refuse(f"--study: {unknown[0]!r} is none of {', '.join(STUDIES)}")
    looks = [name for name in ("text", "file", "split") if asked[name]]
    if len(looks) > 1:
        command.refuse(f"--{looks[0]} and --{looks[1]}: give one of them")
    if asked["reference"] and looks not in (["text"], ["file"]):
        command.refuse("--reference goes with --text or --file")
    if not (looks or asked["study"] or asked["contrast"] or asked["against"]):
        command.refuse("nothing to look at: give --text, --file, --split, --study, --contrast or --against")
    from experiments import devices

    with command.mistakes():
        # One device: what is looked at is small, and eager.
        devices.prepare(0)
        for line in analyze(asked):
            print(line)


def analyze(asked: dict[str, Any]) -> list[str]:
    """Does what flags by these names ask for; returns what `main` prints."""
    from experiments import sentences, studied
    from experiments.subject import Subject

    subject = Subject(asked["workdir"])
    subjects = [subject, *([Subject(asked["against"])] if asked["against"] else [])]
    folder = pathlib.Path(asked["output"] or subject.workdir.path / "analysis")
    folder.mkdir(parents=True, exist_ok=True)
    printed: list[str] = []
    studies = _studies(subjects, asked, folder)
    if asked["text"] or asked["file"] or not studies:
        chosen = sentences.chosen(subject, asked)
        printed += [str(path) for path in sentences.show(subjects, chosen, folder, asked["beam_size"])]
    if studies:
        title = f"Analysis of {' and '.join(map(sentences.run_name, subjects))}"
        printed += [study.markdown for study in studies]
        printed += [str(path) for path in studied.write(studies, title, folder)]
    return printed


def _studies(subjects: Sequence[Any], asked: dict[str, Any], folder: pathlib.Path) -> list[Any]:
    """Everything that is measured."""
    from experiments import alignment_study, comparison, head_study, phenomena_study, training_study
    from transformer.data.corpus import open_corpus

    subject, found = subjects[0], []
    split = asked["split"] or subject.spec.data.validation_split
    compares = len(subjects) > 1 and not (asked["text"] or asked["file"])
    if asked["study"] or compares:
        pairs = list(open_corpus(subject.spec.data).split(split)[: asked["sentences"]])
        modules = (head_study, alignment_study, phenomena_study, training_study)
        named = dict(zip(STUDIES, modules, strict=True))
        found += [named[name].study(subject, split, pairs, folder) for name in asked["study"]]
        found += [comparison.study(subject, subjects[1], split, pairs)] if compares else []
    if asked["contrast"]:
        contrasts = phenomena_study.read_contrasts(asked["contrast"])
        name = pathlib.Path(asked["contrast"]).name
        found.append(phenomena_study.contrast(subject, contrasts, name))
        if "heads" in asked["study"]:
            found.append(head_study.contrast(subject, contrasts, name))
    return found


if __name__ == "__main__":
    command.run(define, main)
