"""chrF++, TER and a paper's BLEU: corpus scores for reports of test sets, too slow for validation during training."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformer.evaluation.bleu import check_references, compound_bleu, signature

_COMPOUNDS = ("de",)  # languages for which papers report `bleu_compound`
_ASIAN = ("zh", "cmn", "yue", "wuu", "ja")  # TER counts their characters as words


def edit_scores(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    language: str,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Computes "chrf++" (Popović 2017), higher is better, and "ter" (Snover et al. 2006), lower is better.

    For German also "bleu_compound", see `bleu.py`; higher is better.

    Args:
      hypotheses: detokenised translations.
      references: one or several lists of references, each with one per hypothesis.
      language: code of the target language.
      labels: further items of the signatures, such as "test".

    Returns:
      Each score, from 0 to 100 (TER may exceed 100), and its signature by "NAME_signature".

    Raises:
      ValueError: there are no hypotheses, or not as many references.
    """
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    check_references(hypotheses, references)
    asian = language in _ASIAN
    ter = TER(normalized=asian, asian_support=asian)
    scores: dict[str, Any] = {}
    for name, metric in {"chrf++": CHRF(word_order=2), "ter": ter}.items():
        scores[name] = metric.corpus_score(hypotheses, references).score
        scores[f"{name}_signature"] = signature(metric, labels)
    if language in _COMPOUNDS:
        scores["bleu_compound"], scores["bleu_compound_signature"] = compound_bleu(hypotheses, references, language)
    return scores
