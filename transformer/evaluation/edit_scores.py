"""chrF++ and TER by sacreBLEU: corpus scores for reports of test sets, too slow for validation during training."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformer.evaluation.bleu import check_references, signature


def edit_scores(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Computes "chrf++" (Popović 2017), higher is better, and "ter" (Snover et al. 2006), lower is better.

    Args:
      hypotheses: detokenised translations.
      references: one or several lists of references, each with one per hypothesis.
      labels: further items of the signatures, such as "test".

    Returns:
      Each score, from 0 to 100 (TER may exceed 100), and its signature by "NAME_signature".

    Raises:
      ValueError: there are no hypotheses, or not as many references.
    """
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    check_references(hypotheses, references)
    scores = {}
    for name, metric in {"chrf++": CHRF(word_order=2), "ter": TER()}.items():
        scores[name] = metric.corpus_score(hypotheses, references).score
        scores[f"{name}_signature"] = signature(metric, labels)
    return scores
