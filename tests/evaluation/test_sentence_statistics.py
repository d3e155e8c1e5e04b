"""BLEU from statistics of sentences equals sacreBLEU's."""

import random

import numpy as np
import pytest

from transformer.evaluation import bleu
from transformer.evaluation.sentence_statistics import bleu_of_statistics, bleu_statistics

CHANCE = random.Random(1)
REFERENCES = [
    " ".join(CHANCE.choices(["Le", "chat", "n'est", "pas", "là", ".", "«"], k=CHANCE.randint(1, 9))) for _ in range(31)
]
HYPOTHESES = [" ".join(word for word in line.split() if CHANCE.random() < 0.8) for line in REFERENCES]


@pytest.mark.parametrize("count", [1, 2, 7, 31])
def test_any_set_of_sentences_has_the_library_score(count: int) -> None:
    statistics = bleu_statistics(HYPOTHESES, REFERENCES, "fr")[:count].sum(axis=0)
    assert bleu_of_statistics(statistics) == pytest.approx(bleu.bleu(HYPOTHESES[:count], REFERENCES[:count], "fr"))
    paper = bleu_statistics(HYPOTHESES, REFERENCES, "fr", paper=True)[:count].sum(axis=0)
    expected = bleu.paper_bleu(HYPOTHESES[:count], REFERENCES[:count], "fr")
    assert bleu_of_statistics(paper, smooth=False) == pytest.approx(expected)


def test_many_sums_at_once_and_sums_without_matches() -> None:
    statistics = bleu_statistics(HYPOTHESES, REFERENCES, "fr")
    sums = np.stack([statistics.sum(axis=0), statistics[:5].sum(axis=0), np.zeros(10, int)])
    assert bleu_of_statistics(sums)[:2].tolist() == [float(bleu_of_statistics(row)) for row in sums[:2]]
    assert bleu_of_statistics(sums)[2] == 0
    assert bleu_of_statistics(bleu_statistics(["x y z w"], ["a b c d"], "fr").sum(axis=0)) == bleu.bleu(
        ["x y z w"], ["a b c d"], "fr"
    )


def test_numbers_of_sentences_must_agree() -> None:
    with pytest.raises(ValueError, match=r"2 hypotheses .* 1 references"):
        bleu_statistics(["a", "b"], ["a"], "fr")
