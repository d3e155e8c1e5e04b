"""The study of heads and that of alignment, on an untrained run."""

import pathlib

import pytest

from experiments.analyze import analyze
from experiments.runs.alignment_error import AlignmentMonitor
from experiments.studies.inspected_run import InspectedRun
from tests.experiments.studies.conftest import flags, results
from transformer.data.corpus import open_corpus


@pytest.mark.slow
def test_studies_of_heads_and_alignment(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    printed = analyze(flags(run, study=["heads", "alignment"], output=str(tmp_path)))
    values = results(tmp_path)
    heads, alignment = values["heads"], values["alignment"]
    names = [f"{kind} 1.{head}" for kind in ("encoder", "decoder", "cross") for head in (1, 2, 3)]
    assert list(heads["heads"]) == names
    assert all(head["gradient"] > 0 and head["loss_difference"] != 0 for head in heads["heads"].values())
    curve = heads["pruning"]
    assert curve[0]["loss"] == pytest.approx(heads["loss"])
    assert sorted(step["head"] for step in curve[1:]) == sorted(names)
    # With few heads, each step evaluates all of them: the first is the cheapest of those masked separately.
    cheapest = min(names, key=lambda head: heads["heads"][head]["loss_difference"])
    assert curve[1]["head"] == cheapest
    assert curve[1]["loss"] == pytest.approx(heads["loss"] + heads["heads"][cheapest]["loss_difference"], abs=1e-5)
    assert list(alignment["error_rate"]) == ["cross 1.1", "cross 1.2", "cross 1.3", "cross 1, mean of heads"]
    assert all(0 <= rate <= 1 for rates in alignment["error_rate"].values() for rate in rates.values())
    assert "Alignment error rate" in printed[1]
    inspected = InspectedRun(run)
    pairs = open_corpus(inspected.spec.data).split(inspected.spec.data.validation_split)[:5]
    recorded = AlignmentMonitor(inspected.system, pairs)(inspected.params)  # as recorded during training
    assert recorded == {
        f"alignment_error/cross/0{part}": pytest.approx(min(alignment["error_rate"][f"cross 1{name}"].values()))
        for part, name in (("/0", ".1"), ("/1", ".2"), ("/2", ".3"), ("", ", mean of heads"))
    }
    page = (tmp_path / "analysis.html").read_text()
    assert page.count("data:image/svg+xml") == 4
    assert (tmp_path / "heads_pruning.png").exists()
