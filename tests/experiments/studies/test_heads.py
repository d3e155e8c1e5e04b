"""The study of heads and that of alignment, on an untrained run."""

import pathlib
from typing import Any

import pytest

from experiments.analyze import analyze
from experiments.runs.alignment_error import AlignmentMonitor
from experiments.studies.inspected_run import InspectedRun
from tests.experiments.studies.conftest import flags, results
from transformer.analysis.head_masking import mask_heads
from transformer.data.corpus import open_corpus
from transformer.spec import PAD


@pytest.mark.slow
def test_studies_of_heads_and_alignment(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    printed = analyze(flags(run, study=["heads", "alignment"], output=str(tmp_path)))
    values = results(tmp_path)
    heads, alignment = values["heads"], values["alignment"]
    names = [f"{kind} 1.{head}" for kind in ("encoder", "decoder", "cross") for head in (1, 2, 3)]
    assert list(heads["heads"]) == names
    assert all(head["gradient"] > 0 and head["loss_difference"] != 0 for head in heads["heads"].values())
    curve = heads["pruning"]
    assert sorted(step["head"] for step in curve[1:]) == sorted(names)
    assert list(alignment["error_rate"]) == ["cross 1.1", "cross 1.2", "cross 1.3", "cross 1, mean of heads"]
    assert all(0 <= rate <= 1 for rates in alignment["error_rate"].values() for rate in rates.values())
    assert "Alignment error rate" in printed[1]
    inspected = InspectedRun(run)
    _check_pruning(inspected, values["heads"])
    pairs = open_corpus(inspected.spec.data).split(inspected.spec.data.validation_split)[:5]
    recorded = AlignmentMonitor(inspected.system, pairs)(inspected.params)  # as recorded during training
    assert recorded == {
        f"alignment_error/cross/0{part}": pytest.approx(min(alignment["error_rate"][f"cross 1{name}"].values()))
        for part, name in (("/0", ".1"), ("/1", ".2"), ("/2", ".3"), ("", ", mean of heads"))
    }
    page = (tmp_path / "analysis.html").read_text()
    assert page.count("data:image/svg+xml") == 4
    assert (tmp_path / "heads_pruning.png").exists()


def _check_pruning(run: InspectedRun, heads: dict[str, Any]) -> None:
    """The first head is the best for one half of the sentences, and the losses are those of the other half."""
    pairs = open_corpus(run.spec.data).split(heads["split"])[: heads["sentences"]]

    def loss(half: int, name: str | None = None) -> float:
        scales = run.scales
        if name:
            kind, _, indices = name.partition(" ")
            layer, head = (int(index) - 1 for index in indices.split("."))
            scales = mask_heads(scales, (f"{kind}/{layer}", head))
        batches = run.batches(pairs[half::2])
        return float(run.nll(batches, scales).sum()) / sum(int((batch.target_BT != PAD).sum()) for batch in batches)

    first = heads["pruning"][1]["head"]
    assert first == min(heads["heads"], key=lambda name: loss(0, name))
    assert heads["pruning"][0]["loss"] == pytest.approx(loss(1), rel=1e-5)
    assert heads["pruning"][1]["loss"] == pytest.approx(loss(1, first), rel=1e-5)
