"""Figures and page of single sentences, for each architecture and score function."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from experiments.analyze import analyze
from tests.experiments.studies.conftest import SOURCE, data_of, flags, results

_RECURRENT = {
    "model__heads": 1, "model__d_state": 7, "model__dropout_attention": 0.0, "model__dropout_feed_forward": 0.0,
}  # fmt: skip


@pytest.mark.slow
def test_a_sentence_has_figures_and_a_page(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    printed = analyze(flags(run, text=SOURCE, reference="The dog barked because it was nervous.", output=str(tmp_path)))
    names = {f"attention_{kind}.{ending}" for kind in ("encoder", "decoder", "cross") for ending in ("png", "svg")}
    assert {path.name for path in tmp_path.iterdir()} == names | {"attention.html"}
    assert sorted(printed) == sorted(str(path) for path in tmp_path.iterdir())
    (sentence,) = data_of(tmp_path / "attention.html")["sentences"]
    assert [pair["title"] for pair in sentence["pairs"]] == ["translation", "reference"]
    reference = sentence["pairs"][1]
    assert " ".join(word for *_, word in reference["target"]["words"]) == "The dog barked because it was nervous . </s>"
    assert {each["name"] for each in reference["attention"]} == {"encoder/0", "decoder/0", "cross/0"}
    assert len(reference["hypotheses"]) == 2
    assert reference["hypotheses"][0]["rank"] >= reference["hypotheses"][1]["rank"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"model__architecture": "rnnsearch", "model__cross_score": "additive", "model__cell": "gru"}, ["cross"]),
        ({"model__architecture": "seq2seq", "model__tie_embeddings": False}, []),
    ],
)
def test_other_architectures(
    changes: dict[str, Any], kinds: list[str], untrained: Callable[..., pathlib.Path], tmp_path: pathlib.Path
) -> None:
    run = untrained(**_RECURRENT, **changes)
    analyze(flags(run, text=SOURCE, output=str(tmp_path)))
    (sentence,) = data_of(tmp_path / "attention.html")["sentences"]
    (pair,) = sentence["pairs"]
    assert [each["kind"] for each in pair["attention"]] == kinds
    assert len(pair["traces"]) == len(kinds)
    assert (tmp_path / "attention_cross.png").exists() == bool(kinds)
    (printed, *_) = analyze(flags(run, study=["heads"], output=str(tmp_path)))
    assert ("no attention, and so no heads" in printed) == (not kinds)
    assert list(results(tmp_path)["heads"]["heads"]) == ["cross 1.1"] * len(kinds)
    if kinds:
        analyze(flags(run, study=["alignment"], output=str(tmp_path)))
        assert list(results(tmp_path)["alignment"]["error_rate"]) == ["cross 1.1"]
    else:
        with pytest.raises(ValueError, match="seq2seq model has no cross-attention"):
            analyze(flags(run, study=["alignment"], output=str(tmp_path)))


@pytest.mark.slow
def test_the_page_has_the_formula_of_each_score(untrained: Callable[..., pathlib.Path], tmp_path: pathlib.Path) -> None:
    analyze(flags(untrained(model__score="cosine", model__cross_score="additive"), text=SOURCE, output=str(tmp_path)))
    (sentence,) = data_of(tmp_path / "attention.html")["sentences"]
    traces = sentence["pairs"][0]["traces"]
    assert {name: (trace["score"], trace["raw_formula"]) for name, trace in traces.items()} == {
        "encoder/0": ("cosine", "q̂·k̂"),
        "decoder/0": ("cosine", "q̂·k̂"),
        "cross/0": ("additive", "vᵀ tanh(q + k)"),
    }
    assert traces["cross/0"]["factor"] == [1, 1, 1]
    assert all(factor > 1 for factor in traces["encoder/0"]["factor"])
