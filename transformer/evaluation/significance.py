"""Significance of differences in BLEU: over sentences, over seeds, and corrected for multiple comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from transformer.evaluation.confidence import Mean, mean

_TRIALS = 1000  # p-values are no smaller than 1 / 1001


class Comparison(NamedTuple):
    """A system compared with a base system, paired by seed."""

    difference: Mean  # of BLEU, over seeds
    p_sentences: float  # approximate randomisation over the sentences of all seeds; Riezler & Maxwell 2005
    p_seeds: float | None  # paired t-test over seeds; None for a single one

    @property
    def p(self) -> float:
        """The larger of both: a significant difference must hold for other sentences and for other seeds."""
        return max(self.p_sentences, self.p_seeds or 0.0)


def compare(base: Sequence[Sequence[str]], system: Sequence[Sequence[str]], references: Sequence[str]) -> Comparison:
    """Compares translations of the same sentences.

    Args:
      base: translations of each seed.
      system: the same for the system; its seed i is paired with seed i of the base.
      references: raw text.

    Raises:
      ValueError: there are no seeds, or their numbers differ.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.significance import PairedTest

    if not base or len(base) != len(system):
        raise ValueError(f"{len(system)} seeds cannot be paired with {len(base)} seeds of the base")
    scores = [[BLEU().corpus_score(texts, [references]).score for texts in runs] for runs in (base, system)]
    differences = [system_bleu - base_bleu for base_bleu, system_bleu in zip(*scores, strict=True)]
    if list(map(list, base)) == list(map(list, system)):
        return Comparison(
            mean(differences), 1.0, _t_test(differences)
        )  # the library returns p = 0 for equal translations
    texts: Any = [(name, [text for run in runs for text in run]) for name, runs in (("base", base), ("system", system))]
    test = PairedTest(texts, {"BLEU": BLEU()}, [list(references) * len(base)], test_type="ar", n_samples=_TRIALS)
    scored: Any = test()[1]["BLEU"]
    return Comparison(mean(differences), scored[1].p_value, _t_test(differences))


def _t_test(differences: Sequence[float]) -> float | None:
    if len(differences) == 1:
        return None
    if len(set(differences)) == 1:  # without variance, t is undefined
        return 1.0 if differences[0] == 0 else 0.0
    from scipy import stats  # slow to import

    result: Any = stats.ttest_1samp(differences, 0.0)
    return float(result.pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusts p-values for multiple comparisons: bounds the probability of any false positive; Holm 1979."""
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
