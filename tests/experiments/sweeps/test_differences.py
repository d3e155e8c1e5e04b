"""Differences of variants from the base, from translations to the table."""

import numpy as np

from experiments.sweeps.differences import SentenceScores, compare_with_base, differences_table, sentence_scores

REFERENCES = [f"le chat {number} est là ." for number in range(31)]


def scores(wrong: int, references: list[str] = REFERENCES) -> SentenceScores:
    texts = [line if number >= wrong else line.upper() for number, line in enumerate(references)]
    return sentence_scores(texts, references, "fr")


def test_variants_with_other_references_are_left_out() -> None:
    runs = {
        "base": [scores(1), scores(2)],
        "worse": [scores(20), scores(22), scores(21)],
        "other": [scores(0, REFERENCES[:7])],
    }
    comparisons = compare_with_base(runs, "base", "bleu")
    assert list(comparisons) == ["worse"]
    assert comparisons["worse"].seeds == (2, 3)
    assert comparisons["worse"].difference < -20
    # bleu_paper is of lower-cased text: case makes no difference.
    assert compare_with_base(runs, "base", "bleu_paper")["worse"].difference == 0
    assert compare_with_base(runs, "missing", "bleu") == {}


def test_the_table_gives_the_verdict_and_whether_seeds_were_tested() -> None:
    one = {"base": [scores(1)], "worse": [scores(20)], "same": [scores(1)]}
    table = differences_table(compare_with_base(one, "base", "bleu"))
    worse, same = table.splitlines()[2:]
    assert worse.endswith("| significant, seeds not tested |")
    assert same.endswith("| not significant, seeds not tested |")
    assert "+0.00 ± 0.00 | 1.000 | 1.000" in same
    assert np.isfinite(float(worse.split(" | ")[2].partition(" ±")[0]))
