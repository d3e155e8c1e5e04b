"""Compares two runs on the same sentences: scores, significance, and the sentences with the largest differences."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.studies.inspected_run import InspectedRun
from experiments.studies.study import Study
from experiments.web.markdown import format_p_value, table
from transformer.data.corpus import Pair
from transformer.evaluation import bleu, breakdown
from transformer.evaluation.sentence_statistics import bleu_of_statistics, bleu_statistics
from transformer.evaluation.significance import SWAPS, compare, randomization_p

_EXAMPLES = 10  # sentences shown for each run


def compare_runs(base: InspectedRun, other: InspectedRun, split: str, pairs: Sequence[Pair]) -> Study:
    """Translates the sources with both runs, each with its own decoding settings, and compares the translations.

    Raises:
      ValueError: the runs translate in different directions.
    """
    first, second = (f"{run.workdir.path} is {run.spec.data.direction}" for run in (base, other))
    if base.spec.data.direction != other.spec.data.direction:
        raise ValueError(f"--against: {second}, but {first}")
    references = [pair.target for pair in pairs]
    names = [base.name, other.name]
    if base.name == other.name:
        names = [str(base.workdir.path), str(other.workdir.path)]
    texts, scores = [], {}
    for name, run in zip(names, (base, other), strict=True):
        translations = run.translator(run.spec.decode).translate([pair.source for pair in pairs])
        texts.append([best.text for best, *_ in translations])
        scores[name] = _scores(run, pairs, texts[-1])
    statistics = [bleu_statistics(lines, references, base.spec.data.target_language) for lines in texts]
    comparison = compare([statistics[0]], {"other": [statistics[1]]}, bleu_of_statistics)["other"]
    p = randomization_p(statistics[0], statistics[1], bleu_of_statistics)
    differences = _chrf_by_sentence(texts[1], references) - _chrf_by_sentence(texts[0], references)
    by_size = [i for i in np.argsort(-np.abs(differences), kind="stable") if texts[0][i] != texts[1][i]]
    equal = sum(ours == theirs for ours, theirs in zip(*texts, strict=True))
    differing = [
        {**pairs[i]._asdict(), "translations": [texts[0][i], texts[1][i]], "chrf_difference": float(differences[i])}
        for i in by_size
    ]
    values: dict[str, Any] = {
        "split": split,
        "sentences": len(pairs),
        "scores": scores,
        "bleu_difference": comparison.difference,
        "half_width": comparison.half_width if np.isfinite(comparison.half_width) else None,
        "p": p,
        "same": equal,
        "differing": differing,
    }
    headers = ["run", "BLEU", "chrF", "exact, %", "log-probability of the reference"]
    rows = [[name, *(f"{value:.2f}" for value in run_scores.values())] for name, run_scores in scores.items()]
    parts = [
        f"### {names[0]} and {names[1]} on {split}\n",
        f"{equal} of {len(pairs)} sentences have the same translation. BLEU of {names[1]} minus BLEU of {names[0]}: "
        f"{comparison.difference:+.2f} ± {comparison.half_width:.2f} (95 % interval, bootstrap over sentences); "
        f"p = {format_p_value(p)} (approximate randomisation, {SWAPS:,} swaps). One seed of each does not measure the "
        "variance between seeds.\n",
        table(headers, rows),
    ]
    for name, gains in zip(names, (-differences, differences), strict=True):
        examples = [
            [pairs[i].source, pairs[i].target, texts[0][i], texts[1][i], f"{abs(differences[i]):.1f}"]
            for i in [i for i in by_size if gains[i] > 0][:_EXAMPLES]
        ]
        parts += [f"### Where {name} is better\n", table(["source", "reference", *names, "chrF"], examples, 4)]
    return Study("comparison", "\n".join(parts), values)


def _scores(run: InspectedRun, pairs: Sequence[Pair], texts: Sequence[str]) -> Mapping[str, float]:
    references = [pair.target for pair in pairs]
    scores = bleu.score(texts, references, run.spec.data.target_language)
    return {
        "bleu": scores.bleu,
        "chrf": scores.chrf,
        "exact": breakdown.exact_match(texts, references),
        # Of the reference, per sentence: comparable between vocabularies.
        "log_probability": -float(run.nll(run.batches(pairs)).mean()),
    }


def _chrf_by_sentence(texts: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """chrF of each sentence; sentence BLEU depends mostly on its smoothing."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    return np.array([metric.sentence_score(text, [ref]).score for text, ref in zip(texts, references, strict=True)])
