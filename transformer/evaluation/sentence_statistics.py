"""Statistics of each sentence from which the BLEU of any set of sentences follows: the bootstrap's raw material."""

from collections.abc import Sequence

import numpy as np

from transformer.evaluation import bleu

_ORDERS = 4  # n-grams of 1 to 4 tokens


def bleu_statistics(
    hypotheses: Sequence[str], references: Sequence[str], language: str, paper: bool = False
) -> np.ndarray:
    """Returns int64 [sentences, 10]: length, reference length, matching n-grams and all n-grams for n = 1 to 4.

    Args:
      hypotheses: translations.
      references: one per translation.
      language: code of the target language.
      paper: whether the statistics are those of `bleu_paper`; else of `bleu`.

    Raises:
      ValueError: the numbers of hypotheses and references differ.
    """
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses cannot be scored against {len(references)} references")
    if paper:
        metric = bleu.unsmoothed()
        hypotheses, references = (bleu.paper_tokens(lines, language) for lines in (hypotheses, references))
    else:
        metric = bleu.metric(language)
    # sacreBLEU has no public function for them; PairedTest reads the same ones.
    rows = metric._extract_corpus_statistics(list(hypotheses), [list(references)])
    return np.array(rows, dtype=np.int64).reshape(len(references), 2 + 2 * _ORDERS)


def bleu_of_statistics(sums: np.ndarray, smooth: bool = True) -> np.ndarray:
    """Computes corpus BLEU from summed statistics.

    Args:
      sums: [..., 10], sums over sentences of `bleu_statistics`.
      smooth: with sacreBLEU's exponential smoothing, as in `bleu`; otherwise without any, as in `bleu_paper`.

    Returns:
      [...], from 0 to 100.
    """
    length, reference_length = np.moveaxis(np.asarray(sums[..., :2], np.float64), -1, 0)
    matches, totals = (np.asarray(part, np.float64) for part in (sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]))
    misses = matches == 0
    halved = 0.5 ** np.cumsum(misses, axis=-1) if smooth else np.zeros(matches.shape)
    valid = (totals > 0).all(axis=-1) & (matches > 0).any(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(misses, halved, matches) / totals
        brevity = np.minimum(0.0, 1 - reference_length / length)
        score = 100 * np.exp(np.log(precisions).mean(axis=-1) + brevity)
    return np.where(valid, score, 0.0)


def to_columns(statistics: np.ndarray) -> np.ndarray:
    """Returns [sentences, 6]: both lengths and the matches; the numbers of all n-grams follow from the length."""
    return statistics[:, : 2 + _ORDERS]


def from_columns(columns: np.ndarray) -> np.ndarray:
    """Returns the statistics, [sentences, 10], that `to_columns` has shortened."""
    totals = [np.maximum(0, columns[:, 0] - order) for order in range(_ORDERS)]
    return np.concatenate([columns, np.stack(totals, axis=1)], axis=1)
