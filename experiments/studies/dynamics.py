"""When a run learns what: quality, alignment, coreference and the effects of heads at every kept checkpoint."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.runs.alignment_error import AlignmentMonitor
from experiments.studies.contrasts import SourcePair
from experiments.studies.figures import draw_panels
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.patched_run import PatchedRun, flat
from experiments.studies.study import Study
from experiments.web.markdown import table
from transformer.data.corpus import Pair, open_corpus
from transformer.evaluation import bleu

_SHOWN_HEADS = 3  # those of largest effect after training
_BLEU, _ERROR, _RIGHT, _DIFFERENCE = "BLEU", "AER, %", "both right, %", "difference, nats"


def measure_dynamics(
    runs: Sequence[InspectedRun],
    split: str,
    sentences: Sequence[Pair],
    kinds: Mapping[str, Sequence[SourcePair]],
    folder: pathlib.Path,
) -> Study:
    """Measures every kept checkpoint of runs that differ in their seeds, and draws one figure for each kind of pairs.

    Args:
      runs: the runs, on the generated corpus.
      split: split of the sentences.
      sentences: pairs, which are translated greedily.
      kinds: pairs of sources by kind, in the tokens of the first run; the runs have the same vocabulary.
      folder: for figures.

    Raises:
      ValueError: the vocabularies of the runs differ.
    """
    for run in runs[1:]:
        if run.tokenizer.fingerprint != runs[0].tokenizer.fingerprint:
            raise ValueError(f"--seeds: {run.name} has another vocabulary than {runs[0].name}")
    measured = {run.name: _measure(run, sentences, kinds) for run in runs}
    parts, figures = [], []
    for kind in kinds:
        parts.append(f"### Training dynamics: {kind}\n\n{_about(split, len(sentences), len(kinds[kind]))}\n")
        parts += [f"{name}:\n\n{_table(points, kind)}" for name, points in measured.items()]
        title = f"Training dynamics: {kind}"
        curves = _panels(measured, kind)
        figures.append((draw_panels(curves, folder / f"dynamics_{kind}", title), title))
    return Study("dynamics", "\n".join(parts), measured, figures)


def _measure(
    run: InspectedRun, sentences: Sequence[Pair], kinds: Mapping[str, Sequence[SourcePair]]
) -> list[dict[str, Any]]:
    """Returns the values of each kept checkpoint, oldest first."""
    validation = open_corpus(run.spec.data).split(run.spec.data.validation_split)
    monitor = AlignmentMonitor(run.system, validation)
    patched = {kind: PatchedRun(run, pairs) for kind, pairs in kinds.items()}
    points = []
    for step in run.kept_steps():
        checkpoint = run.at_step(step)
        translations = checkpoint.translate_greedily([pair.source for pair in sentences])
        score = bleu.bleu(translations, [pair.target for pair in sentences], run.spec.data.target_language)
        point: dict[str, Any] = {"step": step, "bleu": score, "alignment_error": monitor(checkpoint.params)}
        points.append(point | {kind: _effects(patched[kind].at(checkpoint)) for kind in kinds})
    return points


def _effects(patched: PatchedRun) -> dict[str, Any]:
    """Returns how often both sources are right, the mean difference of their scores, and the effects of heads in nats.

    The effect of a head is the mean of both directions. It is no share of the difference, which is near zero at first.
    """
    values: dict[str, Any] = {
        "right": float(patched.right.mean()),
        "difference": float((patched.scores[0] - patched.scores[1]).mean()),
    }
    if patched.attentions:
        changes = flat(patched.changes(patched.both(patched.patch_heads)))
        effects = np.mean(changes, axis=(0, 2)).tolist()
        values["heads"] = dict(zip(patched.head_names(), effects, strict=True))
    return values


def _largest(points: Sequence[Mapping[str, Any]], kind: str) -> list[str]:
    """Returns the heads of largest effect at the last checkpoint."""
    heads = points[-1][kind].get("heads", {})
    return sorted(heads, key=lambda name: -heads[name])[:_SHOWN_HEADS]


def _values(point: Mapping[str, Any], kind: str) -> dict[str, float]:
    """Returns the numbers of a checkpoint by name; the alignment error is that of the best head or layer."""
    of_kind, errors = point[kind], point["alignment_error"]
    values = {_BLEU: point["bleu"]} | ({_ERROR: 100 * min(errors.values())} if errors else {})
    return values | {_RIGHT: 100 * of_kind["right"], _DIFFERENCE: of_kind["difference"]}


def _panels(
    measured: Mapping[str, Sequence[Mapping[str, Any]]], kind: str
) -> dict[str, list[tuple[str, list[tuple[int, float]]]]]:
    """Returns labelled curves by panel: one curve for each run, and the effect of each of its largest heads."""
    panels: dict[str, list[tuple[str, list[tuple[int, float]]]]] = {}
    for name, points in measured.items():
        steps = [point["step"] for point in points]
        values = [_values(point, kind) for point in points]
        for label in values[-1]:
            curve = [value[label] for value in values]
            panels.setdefault(label, []).append((name, list(zip(steps, curve, strict=True))))
        for head in _largest(points, kind):
            effects = [point[kind]["heads"][head] for point in points]
            panels.setdefault(f"effects of heads, {name}, nats", []).append(
                (head, list(zip(steps, effects, strict=True)))
            )
    return panels


def _table(points: Sequence[Mapping[str, Any]], kind: str) -> str:
    heads = _largest(points, kind)
    rows = []
    for point in points:
        values = [f"{value:.2f}" for value in _values(point, kind).values()]
        rows.append([str(point["step"]), *values, *(f"{point[kind]['heads'][head]:.2f}" for head in heads)])
    return table(["updates", *_values(points[-1], kind), *heads], rows)


def _about(split: str, sentences: int, pairs: int) -> str:
    return (
        f"At every kept checkpoint: BLEU of greedy translations of {sentences} sentences of {split}; the alignment "
        f"error rate of the best head or layer; in how many of {pairs} pairs of sources the right token is preferred "
        "for both; the mean difference of their scores; and how much of it the output of a head carries, in nats, as "
        f"the mean of noising and denoising. Heads are the {_SHOWN_HEADS} of largest effect at the last checkpoint."
    )
