"""The test of differences on the stored seeds of a real sweep: false positives and power."""

from pathlib import Path

import numpy as np
import pytest

from experiments.sweeps import archive
from transformer.evaluation import significance
from transformer.evaluation.sentence_statistics import bleu_of_statistics
from transformer.evaluation.significance import compare

CELLS = Path(__file__).parents[3] / "experiments" / "results" / "positions" / "cells"
ALIKE = ("sinusoid", "learned", "rotary", "alibi", "relative")  # within one BLEU of each other
WORSE = "none"
SWEEPS = 100


def read_seeds(variant: str) -> list[np.ndarray]:
    """Statistics of the test split's sentences, of each seed."""
    contents = [archive.read(path) for path in sorted(CELLS.glob(f"{variant}-?.json.xz"))]
    return [archive.sentence_statistics(content)["test"].statistics["bleu"] for content in contents]


@pytest.mark.slow
def test_false_positives_and_power_on_real_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifteen runs in random groups of three do not differ; with sentences of a worse model in them, a group does."""
    monkeypatch.setattr(significance, "DRAWS", 100)
    generator = np.random.default_rng(0)
    runs = [statistics for variant in ALIKE for statistics in read_seeds(variant)]
    worse = read_seeds(WORSE)
    assert (len(runs), len(worse)) == (15, 3)
    mean, low = (np.mean([bleu_of_statistics(each.sum(axis=0)) for each in seeds]) for seeds in (runs, worse))
    false, found = 0, {2.0: 0, 4.0: 0}
    for _ in range(SWEEPS):
        groups = [[runs[index] for index in group] for group in generator.permutation(len(runs)).reshape(-1, 3)]
        base, *systems = groups
        named = {str(index): seeds for index, seeds in enumerate(systems)}
        false += any(each.significant for each in compare(base, named, bleu_of_statistics).values())
        for effect in found:
            replaced = generator.random(len(base[0])) < effect / (mean - low)
            damaged = [np.where(replaced[:, None], bad, good) for good, bad in zip(systems[0], worse, strict=True)]
            found[effect] += compare(base, {**named, "0": damaged}, bleu_of_statistics)["0"].significant
    print(f"false {false / SWEEPS:.3f}, power {found[2.0] / SWEEPS:.2f} and {found[4.0] / SWEEPS:.2f}")
    assert false / SWEEPS <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / SWEEPS)
    assert found[2.0] / SWEEPS >= 0.7
    assert found[4.0] / SWEEPS >= 0.95
