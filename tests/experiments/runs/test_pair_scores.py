"""Log-probabilities of given translations, and translations with a given beginning, by a trained run."""

import math
import pathlib

import pytest

from experiments.runs import loading
from experiments.runs.loading import TrainedSystem
from experiments.runs.pair_scores import PairScorer
from transformer.data.pairs import Pair

SOURCES = ["Un deux.", "Sept six cinq quatre.", "Trois.", "Six un."]


@pytest.fixture(scope="module")
def loaded(trained: pathlib.Path) -> TrainedSystem:
    return loading.load([str(trained)])


def test_the_score_of_a_translation_is_that_of_the_search(loaded: TrainedSystem) -> None:
    """And it depends neither on the rows of a batch nor on the other pairs."""
    system, params, _ = loaded
    best = [items[0] for items in system.translator(params, system.spec.decode).translate(SOURCES)]
    pairs = [Pair(source, item.text) for source, item in zip(SOURCES, best, strict=True)]
    for item in best:  # the search may choose other tokens for the same text
        assert system.tokenizer.encode(item.text) == list(item.tokens[:-1])
    scores = PairScorer(system, params, 3, None, pytest.fail).score(pairs)
    assert [score.log_probability for score in scores] == pytest.approx([item.score for item in best], rel=1e-4)
    assert [score.tokens for score in scores] == [len(item.tokens) for item in best]
    assert scores[0].perplexity == pytest.approx(math.exp(-best[0].score / len(best[0].tokens)), rel=1e-4)
    assert PairScorer(system, params, 3, None, pytest.fail).score(pairs[:1])[0] == scores[0]


def test_a_pair_over_the_limit_is_named_and_has_no_score(loaded: TrainedSystem) -> None:
    system, params, _ = loaded
    pairs, warnings = [Pair("Un.", "One."), Pair("Un.", "one " * 30)], list[str]()
    short, long = PairScorer(system, params, 3, None, warnings.append).score(pairs, first=5)
    assert short.log_probability < 0
    assert math.isnan(long.perplexity)
    (warning,) = warnings
    assert warning.startswith("line 6 has ")
    scored = PairScorer(system, params, 3, 0, pytest.fail).score(pairs)
    assert scored[0] == short
    assert scored[1].log_probability < short.log_probability


def test_translations_begin_with_the_given_words(loaded: TrainedSystem) -> None:
    """In the spelling given, also words that the vocabulary lacks; a line without text stays empty."""
    system, params, _ = loaded
    translator = system.translator(params, system.spec.decode)
    prefixes = ["Seven two", "", " Žluťoučký one ", "Four"]
    lines = [SOURCES[0], SOURCES[1], SOURCES[2], ""]
    texts = [items[0].text for items in translator.translate(lines, prefixes=prefixes)]
    assert texts[0].startswith("Seven two")
    assert texts[1] == translator.translate([SOURCES[1]])[0][0].text
    assert texts[2].startswith("Žluťoučký one")
    assert texts[3] == ""
