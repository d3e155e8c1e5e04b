"""Two runs side by side on the same sentences: how far apart they are, whether by chance, and where most."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.studies.attention import run_name
from experiments.studies.inspected_run import Subject
from experiments.studies.study import Study
from experiments.web.markdown import probability, table
from transformer.data.corpus import Pair
from transformer.evaluation import bleu, breakdown
from transformer.evaluation.significance import compare

_SHOWN = 10  # sentences on each side


def study(one: Subject, other: Subject, split: str, pairs: Sequence[Pair]) -> Study:
    """Translates the pairs' sources with two runs, each as it is configured, and compares them.

    Raises:
      ValueError: the runs translate in different directions.
    """
    directions = [subject.spec.data.direction for subject in (one, other)]
    if directions[0] != directions[1]:
        raise ValueError(
            f"--against: {other.workdir.path} is {directions[1]}, but {one.workdir.path} is {directions[0]}"
        )
    references = [pair.target for pair in pairs]
    names = _names(one, other)
    texts, scores = [], {}
    for name, subject in zip(names, (one, other), strict=True):
        found = subject.translator(subject.spec.decode).translate([pair.source for pair in pairs])
        texts.append([each[0].text for each in found])
        result = bleu.score(texts[-1], references, subject.spec.data.target_language)
        nll = subject.nll(subject.batches(pairs))
        scores[name] = {
            "bleu": result.bleu,
            "chrf": result.chrf,
            "exact": breakdown.exact(texts[-1], references),
            "log_probability": -float(nll.mean()),  # of the reference: comparable whatever the vocabularies are
        }
    compared = compare([texts[0]], [texts[1]], references)
    differences = _sentence_scores(texts[1], references) - _sentence_scores(texts[0], references)
    far = [index for index in np.argsort(-np.abs(differences), kind="stable") if texts[0][index] != texts[1][index]]
    signed = zip(names, (-differences, differences), strict=True)
    signed = zip(names, (-differences, differences), strict=True)
    better = {name: [i for i in far if gain[i] > 0][:_SHOWN] for name, gain in signed}
    numbers: dict[str, Any] = {
        "split": split,
        "sentences": len(pairs),
        "scores": scores,
        "bleu_difference": compared.difference.value,
        "p": compared.p,
        "same": sum(ours == theirs for ours, theirs in zip(*texts, strict=True)),
        "differing": [
            {**pairs[i]._asdict(), "translations": [texts[0][i], texts[1][i]], "chrf_difference": float(differences[i])}
            for i in far
        ],
    }
    heads = ["run", "BLEU", "chrF", "exact, %", "log-probability of the reference"]
    rows = [[name, *(f"{value:.2f}" for value in each.values())] for name, each in scores.items()]
    parts = [
        f"### {names[0]} and {names[1]} on {split}\n",
        f"{len(pairs)} sentences, of which {numbers['same']} have the same translation. BLEU of {names[1]} minus that "
        f"of {names[0]}: {compared.difference.value:+.2f}, p = {probability(compared.p)} (approximate "
        "randomisation over sentences; one seed says nothing of other seeds).\n",
        table(heads, rows),
    ]
    for name, chosen in better.items():
        shown = [
            [pairs[i].source, pairs[i].target, texts[0][i], texts[1][i], f"{abs(differences[i]):.1f}"] for i in chosen
        ]
        parts += [f"### Where {name} is better\n", table(["source", "reference", *names, "chrF"], shown, 4)]
    return Study("comparison", "\n".join(parts), numbers)


def _names(one: Subject, other: Subject) -> list[str]:
    """The folders' names, or where these are the same their paths."""
    names = [run_name(one), run_name(other)]
    return names if names[0] != names[1] else [str(one.workdir.path), str(other.workdir.path)]


def _sentence_scores(texts: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """chrF of each sentence: BLEU of a single one is mostly its smoothing."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    return np.array([metric.sentence_score(text, [each]).score for text, each in zip(texts, references, strict=True)])
