"""Scores of subsets, with bins computed by hand."""

import pytest

from transformer.evaluation import bleu
from transformer.evaluation.breakdown import SubsetScore, bleu_by_source_length, exact_match, exact_match_by_tag

SOURCES = ["a b c", "a", "a b", "a b c d e", "b", "a b c d"]
TEXTS = [
    "the cat sat on the mat",
    "one two three four",
    "a b c d",
    "where is the dog now",
    "we are here now",
    "x y z w",
]


def test_equal_lengths_share_a_bin_and_a_small_last_bin_is_merged() -> None:
    names = [
        (subset.name, subset.sentences) for subset in bleu_by_source_length(SOURCES, TEXTS, TEXTS, "en", sentences=1)
    ]
    assert names == [("1-1", 2), ("2-2", 1), ("3-3", 1), ("4-4", 1), ("5-5", 1)]
    names = [
        (subset.name, subset.sentences) for subset in bleu_by_source_length(SOURCES, TEXTS, TEXTS, "en", sentences=2)
    ]
    assert names == [("1-1", 2), ("2-3", 2), ("4-5", 2)]
    names = [
        (subset.name, subset.sentences) for subset in bleu_by_source_length(SOURCES, TEXTS, TEXTS, "en", sentences=4)
    ]
    assert names == [("1-5", 6)]


def test_a_bin_has_the_corpus_score_of_its_sentences() -> None:
    hypotheses = [*TEXTS[:3], "where is a cat now", *TEXTS[4:]]
    *others, last = bleu_by_source_length(SOURCES, hypotheses, TEXTS, "en", sentences=1)
    assert [subset.score for subset in others] == pytest.approx([100] * 4)
    assert last.score == pytest.approx(bleu.bleu(["where is a cat now"], ["where is the dog now"], "en"))


def test_exact_match_compares_complete_translations() -> None:
    assert exact_match(["a", "b", "c "], ["a", "x", "c"]) == pytest.approx(100 / 3)
    with pytest.raises(ValueError, match="no translations"):
        exact_match([], [])


def test_a_sentence_counts_for_each_of_its_tags() -> None:
    tags = [{"past", "negation"}, {"past"}, set(), {"past"}]
    negation, past = exact_match_by_tag(tags, ["a", "b", "c", "d"], ["a", "b", "x", "x"])
    assert negation == SubsetScore("negation", 1, 100.0)
    assert (past.name, past.sentences) == ("past", 3)
    assert past.score == pytest.approx(200 / 3)


def test_each_chinese_character_counts_as_a_word():
    texts = ["我喜欢猫", "猫 cat"]
    assert [subset.name for subset in bleu_by_source_length(texts, texts, texts, "zh", sentences=1)] == ["2-2", "4-4"]
