"""Scores a trained model on a split of its corpus, on files, or on a test set of sacreBLEU.

    python -m experiments.evaluate --workdir=runs/quickstart [--split=test]
    python -m experiments.evaluate --workdir=runs/quickstart --source=talk.fr --reference=talk.en
    python -m experiments.evaluate --workdir=runs/quickstart --source=talk.tmx
    python -m experiments.evaluate --workdir=runs/quickstart --test_set=wmt14/full

Several folders, --workdir=runs/a,runs/b, form an ensemble; their models must have the same vocabulary.
The last line is a JSON object: bleu, chrf, bleu_paper, chrf++, ter, for German bleu_compound, signatures, sentences,
seconds. --reference can be given several times, for several references. --comet=PATH adds the score of a COMET model
(extra `comet`).
A run trained in bfloat16 is scored in float32, unless --dtype is given; see the help of --dtype.
"""

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.runtime import cli, outputs
from transformer.data.pairs import Pair
from transformer.spec import PAIR_FILES, SCORING_DTYPE, UNKNOWN_POLICIES, DataSpec, pair_suffix


def define() -> None:
    """Defines the flags."""
    text = flags.DEFINE_string
    cli.define_workdirs_flag()
    text("split", None, "split of the run's corpus; default: its data.test_split")
    text("source", None, f"file to translate instead of a split; one sentence per line, or {' '.join(PAIR_FILES)}")
    flags.DEFINE_multi_string("reference", [], "reference translation of --source, line by line; can be repeated")
    text("test_set", None, "test set of sacreBLEU, such as wmt14/full, in the run's direction; downloaded if needed")
    text("comet", None, "checkpoint or folder of a COMET model, for another score (extra `comet`)")
    text("output", None, "file to write the translations to; default: in the run's translations/")
    cli.define_unknown_flag()
    cli.define_dtype_flag(SCORING_DTYPE)


def main(args: cli.Args) -> None:
    """Translates, and prints the scores."""
    from experiments.runs.workdir import Workdir
    from experiments.runtime import distributed, xla_env

    _check_flags(args)
    with cli.runtime_errors(), cli.user_errors():
        if args.output is not None:
            outputs.check_file("--output", args.output)
        parallel = Workdir(args.workdir[0]).spec().parallel
        xla_env.prepare_for(parallel)
        distributed.initialize(parallel.distributed)
        names = ("split", "source", "reference", "output", "dtype", "unknown", "test_set", "comet")
        scores = evaluate(args.workdir, **{name: getattr(args, name) for name in names})
    if distributed.is_primary():
        print(json.dumps(scores, ensure_ascii=False), flush=True)
        if args.output is not None and scores["translations"] is None:
            sys.exit(1)


def _check_flags(args: cli.Args) -> None:
    source = args.source
    if not args.workdir:
        cli.exit_with_error("--workdir is needed: the folder of a run")
    both_sides = pair_suffix(source or "")  # of a TSV, TMX or PO file
    if not both_sides and (source is None) != (not args.reference):
        cli.exit_with_error("--source and --reference must be given together")
    if both_sides and args.reference:
        cli.exit_with_error(f"--source={source}: a {both_sides} file also holds the reference; leave out --reference")
    given = [name for name in ("split", "source", "test_set") if getattr(args, name)]
    if len(given) > 1:
        cli.exit_with_error(f"--{given[0]} and --{given[1]} exclude each other")


def evaluate(
    paths: Sequence[str],
    split: str | None,
    source: str | None,
    reference: str | Sequence[str] | None,
    output: str | None,
    dtype: str = SCORING_DTYPE,
    unknown: str = UNKNOWN_POLICIES[0],
    test_set: str | None = None,
    comet: str | None = None,
) -> dict[str, Any]:
    """Scores a run, or an ensemble of runs; returns the scores that `main` prints.

    A score or a file that fails after the translation is a warning, and does not cost the other scores.

    Args:
      paths: folders of the runs.
      split: a split of the corpus; default: `data.test_split`.
      source: a file to translate instead of a split.
      reference: file or files with its references.
      output: file for the translations; default: in the folder of the first run.
      dtype: dtype of the matmuls.
      unknown: what stands for unknown words, one of `UNKNOWN_POLICIES`.
      test_set: a test set of sacreBLEU to translate instead of a split.
      comet: a COMET model.
    """
    from experiments.runs import loading
    from experiments.runs.evaluation_memory import check_search
    from experiments.runs.scoring import evaluate_split
    from experiments.runs.workdir import Workdir
    from experiments.runtime import distributed
    from transformer import storage
    from transformer.evaluation import bleu
    from transformer.evaluation.comet_score import CometMetric
    from transformer.evaluation.edit_scores import edit_scores

    workdir = Workdir(paths[0], distributed.is_primary())
    spec = workdir.spec()
    metric = CometMetric(comet) if comet else None
    files = [reference] if isinstance(reference, str) else reference or []
    bleu.metric(spec.data.target_language)  # raises ValueError if its tokenizer is missing
    name, pairs, others = _read(spec.data, split, source, files, test_set)
    labels = {"test": test_set, "lang": spec.data.direction} if test_set else {}
    system, params, steps = loading.load(paths, dtype)
    check_search(system, spec.decode)
    scores, texts = evaluate_split(system, params, pairs, spec.decode, _warn, others, labels, unknown)
    references = [[pair.target for pair in pairs], *others]
    scores |= edit_scores(texts, references, spec.data.target_language, labels)
    if metric:
        try:
            scores["comet"] = metric.score([pair.source for pair in pairs], texts, references)
        except Exception as error:  # whatever COMET raises
            _warn(f"no COMET score: {type(error).__name__}: {error}")
    split_name = name if len(paths) == 1 else f"{name}.ensemble"
    path = storage.path(output) if output else workdir.translations(split_name, steps[0][-1])
    try:
        if output is None:
            workdir.write_translations(split_name, steps[0][-1], texts)
        elif distributed.is_primary():
            path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    except OSError as error:
        _warn(f"{path}: the translations are not written: {error.strerror or error}")
        path = None
    translations = None if path is None else str(path)
    return {"split": name, **scores, "checkpoints": dict(zip(paths, steps, strict=True)), "translations": translations}


def _read(
    data: DataSpec, split: str | None, source: str | None, references: Sequence[str], test_set: str | None
) -> tuple[str, Sequence[Pair], list[list[str]]]:
    """Returns a name, the pairs with the first reference, and further lists of references."""
    from transformer.data.corpus import open_corpus, read_parallel
    from transformer.data.sources.pair_files import read_pairs
    from transformer.data.sources.sacrebleu_sets import read_test_set

    if test_set is not None:
        sources, (first, *others) = read_test_set(test_set, data.direction)
        return test_set.replace("/", "-"), list(map(Pair, sources, first)), others
    if source is None:
        name = split or data.test_split
        return name, open_corpus(data).split(name), []
    if references:
        _check_languages(data, source, references)
        pairs, *others = [read_parallel(source, path) for path in references]
    else:
        pairs, others = list(read_pairs(source, data.source_language, data.target_language)), []
    return pathlib.Path(source).name, pairs, [[pair.target for pair in other] for other in others]


def _check_languages(data: DataSpec, source: str, references: Sequence[str]) -> None:
    """Raises ValueError if the suffixes of the files are codes of other languages than the run's, or exchanged."""
    from transformer.languages import is_short_code

    for path in references:
        codes = [pathlib.Path(file).suffix[1:] for file in (source, path)]
        if all(map(is_short_code, codes)) and codes != [data.source_language, data.target_language]:
            files = f"--source={source} --reference={path}"
            raise ValueError(f"{files}: by their names {'-'.join(codes)}, but the run translates {data.direction}")


def _warn(message: str) -> None:
    from experiments.runtime import distributed

    if distributed.is_primary():
        print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(define, main)
