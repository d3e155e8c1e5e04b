"""Lines that `translate` prints."""

import json
import math

import pytest

from experiments.runs.output_lines import score_line, translation_lines
from experiments.runs.pair_scores import PairScore
from transformer.data.pairs import Pair
from transformer.decoding.translate import Translation

TRANSLATIONS = [Translation("a\tcat", -1.5, (4, 5, 2)), Translation("the cat", -2.0, (6, 5, 2))]


@pytest.mark.parametrize(
    ("output_format", "lines"),
    [
        ("text", ["a cat", "the cat", ""]),  # the third is missing: an empty line and no copy
        ("tsv", ["7\t-1.5000\ta cat", "7\t-2.0000\tthe cat"]),
    ],
)
def test_lines_of_translations(output_format: str, lines: list[str]) -> None:
    assert translation_lines(output_format, 7, "un chat", TRANSLATIONS, 3, 0.6) == lines


def test_an_object_has_the_score_and_the_rank() -> None:
    (line,) = translation_lines("jsonl", 7, "un chat", TRANSLATIONS, 3, 0.5)
    first, second = json.loads(line)["translations"]
    assert json.loads(line).keys() == {"line", "source", "translations"}
    assert first == {"text": "a\tcat", "score": -1.5, "rank": pytest.approx(-1.5 / math.sqrt(8 / 6), abs=1e-6)}
    assert second["score"] == -2.0


def test_lines_of_scores() -> None:
    pair, score = Pair("un", "one"), PairScore(-3.0, 2)
    assert score_line("tsv", 7, pair, score) == f"-3.0000\t{math.exp(1.5):.4f}"
    assert json.loads(score_line("jsonl", 7, pair, score)) == {
        "line": 7,
        "source": "un",
        "target": "one",
        "log_probability": -3.0,
        "perplexity": round(math.exp(1.5), 6),
        "tokens": 2,
    }
    refused = PairScore(math.nan, 2)
    assert score_line("text", 7, pair, refused) == "nan\tnan"
    assert json.loads(score_line("jsonl", 7, pair, refused))["perplexity"] is None
    assert PairScore(-1e6, 1).perplexity == math.inf
