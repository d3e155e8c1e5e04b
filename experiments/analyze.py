"""Analyses a trained model: its attention, the importance and roles of its heads, and what it has learned of grammar.

    python -m experiments.analyze --workdir=runs/quickstart --text="Le poulet n'a pas traversé la route."
    python -m experiments.analyze --workdir=runs/quickstart --study=heads,alignment,phenomena
    python -m experiments.analyze --workdir=runs/quickstart --contrast=pairs.tsv
    python -m experiments.analyze --workdir=runs/quickstart --study=patching,attribution,lens --contrast=pairs.tsv
    python -m experiments.analyze --workdir=runs/seed0 --seeds=runs/seed1,runs/seed2 --study=dynamics
    python -m experiments.analyze --workdir=runs/quickstart --against=runs/no-scaling --split=validation

For sentences (--text, --file or --split) it draws every attention as PNG and SVG, and writes attention.html. The page
needs no network; it shows the weights of each head for a word, how they follow from queries and keys, and why the model
prefers a word to another one. The last takes most of the time; --noexplain leaves it out. --study measures on a split.
--contrast reads lines of source, right and wrong translation, separated by tabs, and reports which translation is more
probable; with --study=heads also with each head masked. --against compares two runs. All files are written to
analysis/ in the run's workdir, or to --output.

Four studies ask what decides between the first two different tokens of the right and the wrong translation: patching
exchanges activations of lines 1 and 2, 3 and 4, and so on, in whose sources words are replaced; attribution compares
five methods that attribute the decision to words; lens shows what each decoder layer and head contributes; dynamics
shows when the run learned it, from its kept checkpoints (checkpoint.keep), also for --seeds. Without --contrast they
take minimal pairs of the generated corpus.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.runtime import cli, outputs
from transformer import storage

STUDIES = ("heads", "alignment", "phenomena", "training")
# Of the contrasts in --contrast, or of those of the generated corpus.
CAUSAL_STUDIES = ("patching", "attribution", "lens", "dynamics")


def define() -> None:
    """Defines the flags."""
    string, integer = flags.DEFINE_string, flags.DEFINE_integer
    string("workdir", None, "workdir of a run")
    string("text", None, "a sentence to analyse")
    string("reference", None, "its reference, analysed too; with --file, a file of references")
    string("file", None, "sentences to analyse, one per line, plain or compressed")
    string("split", None, "split of the run's corpus to analyse or measure on; default: data.validation_split")
    flags.DEFINE_list("study", [], f"studies: {', '.join((*STUDIES, *CAUSAL_STUDIES))}, separated by commas")
    string("contrast", None, "file of lines with source, right and wrong translation, separated by tabs")
    string("against", None, "workdir of another run to compare on the same sentences")
    flags.DEFINE_list("seeds", [], "workdirs of runs that differ only in their seeds, for --study=dynamics")
    string("output", None, "folder for the results; default: analysis/ in the workdir")
    flags.DEFINE_bool("explain", True, "whether attention.html explains each word, which takes most of the time")
    integer("pictures", 3, "number of sentences of a file or a split to draw", lower_bound=1)
    integer("sentences", 200, "number of sentences for studies and comparisons", lower_bound=1)
    integer("beam_size", None, "hypotheses shown per sentence; default: decode.beam_size", lower_bound=1)


def main(args: cli.Args) -> None:
    """Runs the requested analyses, and prints the results and the names of the files."""
    if not args.workdir:
        cli.exit_with_error("--workdir is needed: the folder of a run")
    names = (*STUDIES, *CAUSAL_STUDIES)
    if unknown := [name for name in args.study if name not in names]:
        from transformer.section import did_you_mean

        cli.exit_with_error(
            f"--study: {unknown[0]!r} is not one of {', '.join(names)}{did_you_mean(unknown[0], names)}"
        )
    inputs = [name for name in ("text", "file", "split") if getattr(args, name)]
    if len(inputs) > 1:
        cli.exit_with_error(f"--{inputs[0]} and --{inputs[1]} exclude each other")
    if args.reference and inputs not in (["text"], ["file"]):
        cli.exit_with_error("--reference needs --text or --file")
    if not (inputs or args.study or args.contrast or args.against):
        cli.exit_with_error("nothing to analyse: give --text, --file, --split, --study, --contrast or --against")
    from experiments.runtime import xla_env

    with cli.user_errors():
        xla_env.prepare(0)  # one device: the inputs are small, and some computations are not compiled
        for line in analyze(args):
            print(line)


def analyze(args: Any) -> list[str]:
    """Runs the analyses of the flags; returns the lines to print."""
    from experiments.studies import attention
    from experiments.studies.inspected_run import InspectedRun
    from experiments.studies.study import write_studies

    folder = storage.path(args.output) if args.output else storage.path(args.workdir) / "analysis"
    outputs.check_folder("--output", folder)
    runs = [InspectedRun(workdir) for workdir in (args.workdir, args.against) if workdir]
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    studies = _run_studies(runs, args, folder)
    if args.text or args.file or not studies:
        sentences = attention.choose_sentences(runs[0], args)
        lines += map(str, attention.write_attention(runs, sentences, folder, args.beam_size, args.explain))
    if studies:
        title = f"Analysis of {' and '.join(run.name for run in runs)}"
        lines += [study.markdown for study in studies]
        lines += map(str, write_studies(studies, title, folder))
    return lines


def _run_studies(runs: Sequence[Any], args: Any, folder: pathlib.Path) -> list[Any]:
    from experiments.studies.alignment import measure_alignment
    from experiments.studies.comparison import compare_runs
    from experiments.studies.heads import contrast_by_head, measure_heads
    from experiments.studies.phenomena import measure_contrasts, measure_phenomena, read_examples
    from experiments.studies.training_curves import collect_training_curves
    from transformer.data.corpus import Pair, open_corpus

    run, studies = runs[0], []
    split = args.split or run.spec.data.validation_split
    compare = len(runs) > 1 and not (args.text or args.file)
    if args.study or compare:
        pairs = list(open_corpus(run.spec.data).split(split)[: args.sentences])
        functions = (measure_heads, measure_alignment, measure_phenomena, collect_training_curves)
        by_name = dict(zip(STUDIES, functions, strict=True))
        studies += [by_name[name](run, split, pairs, folder) for name in args.study if name in by_name]
        studies += [compare_runs(run, runs[1], split, pairs)] if compare else []
    if args.contrast:
        examples, title = read_examples(args.contrast), pathlib.Path(args.contrast).name
        run.warn_about([Pair(example.source, f"{example.right} {example.wrong}") for example in examples])
        studies.append(measure_contrasts(run, examples, title))
        if "heads" in args.study:
            studies.append(contrast_by_head(run, examples, title))
    return studies + _run_causal_studies(run, args, split, folder)


def _run_causal_studies(run: Any, args: Any, split: str, folder: pathlib.Path) -> list[Any]:
    from experiments.studies import contrasts
    from experiments.studies.attribution import measure_attribution
    from experiments.studies.dynamics import measure_dynamics
    from experiments.studies.inspected_run import InspectedRun
    from experiments.studies.lens import measure_lens
    from experiments.studies.patching import measure_patching
    from experiments.studies.phenomena import read_examples
    from transformer.data.corpus import open_corpus

    names = [name for name in CAUSAL_STUDIES if name in args.study]
    if not names:
        return []
    examples = read_examples(args.contrast) if args.contrast else None
    title = pathlib.Path(args.contrast or "").name
    if examples is None:
        run.require_generated(names[0], "; --contrast=FILE evaluates your own sentences")
        pairs = singles = contrasts.generated_pairs(run, split, args.sentences)
    else:
        pairs = contrasts.read_pairs(run, examples, title) if {"patching", "dynamics"}.intersection(names) else {}
        singles = contrasts.single_contrasts(run, examples, title)
    studies = {
        "patching": lambda: measure_patching(run, pairs, folder),
        "attribution": lambda: measure_attribution(run, singles, split, folder),
        "lens": lambda: measure_lens(run, singles, folder),
        "dynamics": lambda: measure_dynamics(
            [run, *map(InspectedRun, args.seeds)],
            split,
            open_corpus(run.spec.data).split(split)[: args.sentences],
            {kind: pairs[kind] for kind in pairs if examples or kind == "coreference"},
            folder,
        ),
    }
    return [studies[name]() for name in names]


if __name__ == "__main__":
    cli.run(define, main)
