"""The studies of attribution and of the logit lens, on an untrained run."""

import json
import pathlib

import pytest

from experiments.analyze import analyze
from experiments.studies import attribution, lens
from experiments.studies.contrasts import contrast_batches, generated_pairs
from experiments.studies.inspected_run import InspectedRun
from tests.experiments.studies.conftest import flags, results
from transformer.analysis import patching


@pytest.mark.slow
def test_methods_are_compared_with_occlusion(
    run: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribution, "_ALIGNED", 2)
    lines = tmp_path / "lines.tsv"
    lines.write_text("Le chien a dormi.\tThe dog slept.\tThe cat slept.\tanimal\n" * 2)
    printed = analyze(flags(run, study=["attribution"], contrast=str(lines), output=str(tmp_path)))
    values = results(tmp_path)["attribution"]
    methods = values["animal"]["methods"]
    assert values["animal"]["contrasts"] == 2
    assert methods["occlusion"]["rank_correlation"][0] == pytest.approx(1)
    assert methods["occlusion"]["same_largest"] == 1
    complete = {name: method["complete"][0] for name, method in methods.items() if "complete" in method}
    assert complete["integrated gradients"] == min(complete.values())
    assert set(values["alignment_error"]) == set(methods)
    example = values["animal"]["example"]
    assert example["source"][-1] == "</s>"
    assert all(len(sides["source"]) == len(example["source"]) for sides in example["methods"].values())
    assert any("### Attribution: animal" in text for text in printed)


@pytest.mark.slow
def test_direct_effects_sum_to_the_last_point_of_the_lens(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The last point is the model itself."""
    inspected = InspectedRun(run)
    pairs = generated_pairs(inspected, "validation", 3)["number"]
    values = json.loads(json.dumps(lens.measure_lens(inspected, {"number": pairs}, tmp_path).values))["number"]
    assert list(values["points"]) == ["embedding", "layer 1"]
    expected = float(patching.score(inspected.model, contrast_batches(pairs, 3)[0]).mean())
    assert values["points"]["layer 1"]["log_odds"][0] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    total = sum(effect for effect, _ in values["direct_effects"].values())
    assert total == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert {"cross 1.1", "cross 1, bias", "feed-forward 1", "embedding"} <= set(values["direct_effects"])
