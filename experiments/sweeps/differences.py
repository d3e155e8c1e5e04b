"""Differences of a sweep's variants from the base: from translations to a table."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.web.markdown import format_p_value, table
from transformer.evaluation.sentence_statistics import bleu_of_statistics, bleu_statistics
from transformer.evaluation.significance import Comparison, compare

METRICS = {"bleu": "BLEU", "bleu_paper": "bleu_paper"}


class SentenceScores(NamedTuple):
    """What a test of differences needs of one run's translations of a split."""

    statistics: dict[str, np.ndarray]  # by metric, [sentences, features]
    references: str  # digest of the references; only scores with equal references are compared


def sentence_scores(texts: Sequence[str], references: Sequence[str], language: str) -> SentenceScores:
    """Returns the statistics of translations into a language for every metric of `METRICS`."""
    statistics = {
        "bleu": bleu_statistics(texts, references, language),
        "bleu_paper": bleu_statistics(texts, references, language, paper=True),
    }
    return SentenceScores(statistics, digest(references))


def digest(references: Sequence[str]) -> str:
    """Returns a short digest of the references of a split."""
    return hashlib.sha256("\n".join(references).encode()).hexdigest()[:16]


def compare_with_base(runs: Mapping[str, Sequence[SentenceScores]], base: str, metric: str) -> dict[str, Comparison]:
    """Compares every variant that translated the sentences of the base with it.

    Args:
      runs: variant → its seeds.
      base: name of the base.
      metric: a key of `METRICS`.

    Returns:
      Variant → comparison; empty if the base has no translations.
    """
    if not runs.get(base):
        return {}
    references = runs[base][0].references
    comparable = {
        variant: [seed.statistics[metric] for seed in seeds if seed.references == references]
        for variant, seeds in runs.items()
        if variant != base
    }
    statistics = [seed.statistics[metric] for seed in runs[base]]
    systems = {variant: seeds for variant, seeds in comparable.items() if seeds}

    def score(sums: np.ndarray) -> np.ndarray:
        return bleu_of_statistics(sums, smooth=metric == "bleu")

    return compare(statistics, systems, score) if systems else {}


def differences_table(comparisons: Mapping[str, Comparison]) -> str:
    """Returns the table of each variant's difference, with its interval, p-values and verdict."""
    rows = []
    for variant, comparison in comparisons.items():
        half_width = f" ± {comparison.half_width:.2f}" if math.isfinite(comparison.half_width) else ""
        p_values = [format_p_value(comparison.p), format_p_value(comparison.p_adjusted)]
        note = "significant" if comparison.significant else "not significant"
        note += "" if comparison.seeds_tested else ", seeds not tested"
        seeds = " and ".join(map(str, comparison.seeds))
        rows.append([variant, seeds, f"{comparison.difference:+.2f}{half_width}", *p_values, note])
    return table(["variant", "seeds", "difference", "p", "p, Holm", ""], rows)
