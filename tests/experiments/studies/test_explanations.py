"""Explanations of translations of untrained runs."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from experiments.analyze import analyze
from experiments.studies import explanations
from experiments.studies.explanations import explain_words
from experiments.studies.inspected_run import InspectedRun
from tests.experiments.studies.conftest import SOURCE, data_of, flags
from transformer.analysis.explanation import DIRECT_EFFECTS, LENS, MEASURES


@pytest.fixture(scope="module")
def inspected(run: pathlib.Path) -> InspectedRun:
    return InspectedRun(run)


@pytest.mark.slow
def test_every_token_of_a_reference_is_explained(inspected: InspectedRun) -> None:
    view = explain_words(inspected, SOURCE, "The dog barked.", [DIRECT_EFFECTS]).data
    assert " ".join(view["target"]).replace(" ", "") == "Thedogbarked.</s>"
    assert len(view["target"]) > explanations._ROWS  # more than one batch
    assert [each["position"] for each in view["explanations"]] == list(range(len(view["target"])))
    for each in view["explanations"]:
        assert sum(sum(part["effects"]) for part in each["parts"]) == pytest.approx(each["score"], abs=5e-3)
    assert len({each["score"] for each in view["explanations"]}) > 1


def test_what_is_not_explained(inspected: InspectedRun) -> None:
    with pytest.raises(
        ValueError,
        match=r"no measure 'logit lense' of this model; it has input × gradient, .*; did you mean logit lens\?",
    ):
        explain_words(inspected, SOURCE, "The dog.", ["logit lense"])
    with pytest.raises(ValueError, match=r"its translation has \d+ tokens, more than 32"):
        explain_words(inspected, SOURCE, "The dog barked. " * 9, ["occlusion"])


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["transformer", "rnnsearch", "seq2seq"])
def test_the_attention_page_explains_each_architecture(
    architecture: str, untrained: Callable[..., pathlib.Path], tmp_path: pathlib.Path
) -> None:
    recurrent: dict[str, Any] = {} if architecture == "transformer" else {
        "model__heads": 1, "model__d_state": 7, "model__dropout_attention": 0.0, "model__dropout_feed_forward": 0.0,
        "model__tie_embeddings": False, "model__cross_score": "additive" if architecture == "rnnsearch" else None,
    }  # fmt: skip
    folder = untrained(model__architecture=architecture, **recurrent)
    analyze(flags(folder, text="Le chien.", reference="The dog.", output=str(tmp_path), explain=True))
    (sentence,) = data_of(tmp_path / "attention.html")["sentences"]
    pair = sentence["pairs"][1]
    assert len(pair["explanations"]) == len(pair["target"]["pieces"])
    methods = [each["method"] for each in pair["explanations"][1]["attribution"]]
    assert methods == [name for name in MEASURES if name not in (LENS, DIRECT_EFFECTS)][: len(methods)]
    assert len(methods) == (3 if architecture == "seq2seq" else 5)
    assert bool(pair["explanations"][1]["lens"]) == bool(pair["explanations"][1]["parts"]) == (not recurrent)
