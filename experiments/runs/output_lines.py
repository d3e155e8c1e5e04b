"""Output of `translate`: one line or several for each input line, as text, TSV or JSON."""

import json
import math
from collections.abc import Sequence

from experiments.runs.pair_scores import PairScore
from transformer.data.pairs import Pair
from transformer.decoding.translate import Translation

FORMATS = ("text", "tsv", "jsonl")


def translation_lines(
    output_format: str, number: int, source: str, translations: Sequence[Translation], n_best: int, alpha: float
) -> list[str]:
    """Returns the output for one input line.

    text: `n_best` lines with a translation each; lines that the search cannot fill are empty.
    tsv: for each translation the number of the input line, the score and the text.
    jsonl: one object with `line`, `source` and `translations`; each has `text`, `score` and `rank`.

    The score is the natural log-probability; the rank is the score divided by the length penalty, and orders the
    translations.

    Args:
      output_format: one of `FORMATS`.
      number: of the input line, from 1.
      source: the input line.
      translations: best first.
      n_best: number of translations requested.
      alpha: exponent of the length penalty.
    """
    if output_format == "jsonl":
        fields = [
            {"text": item.text, "score": round(item.score, 6), "rank": round(_rank(item, alpha), 6)}
            for item in translations
        ]
        return [json.dumps({"line": number, "source": source, "translations": fields}, ensure_ascii=False)]
    texts = [_one_line(item.text) for item in translations]
    if output_format == "tsv":
        return [f"{number}\t{item.score:.4f}\t{text}" for item, text in zip(translations, texts, strict=True)]
    return texts + [""] * (n_best - len(texts))


def score_line(output_format: str, number: int, pair: Pair, score: PairScore) -> str:
    """Returns the output for one pair: log-probability and perplexity; in JSON, null for a pair without a score."""
    values = (score.log_probability, score.perplexity)
    if output_format == "jsonl":
        finite = [round(value, 6) if math.isfinite(value) else None for value in values]
        names = ("line", "source", "target", "log_probability", "perplexity", "tokens")
        content = (number, pair.source, pair.target, *finite, score.tokens)
        return json.dumps(dict(zip(names, content, strict=True)), ensure_ascii=False)
    return "\t".join(f"{value:.4f}" for value in values)


def _rank(translation: Translation, alpha: float) -> float:
    return translation.score / ((5 + len(translation.tokens)) / 6) ** alpha


def _one_line(text: str) -> str:
    """Returns the text without the characters that separate lines and columns."""
    return text.translate({ord(character): " " for character in "\t\n\r"})
