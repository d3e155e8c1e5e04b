"""The study of checkpoints, on a run with two of them, and on one with another vocabulary."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from experiments.analyze import analyze
from experiments.runs.system import System
from experiments.studies.contrasts import contrast_batches, read_pairs
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.phenomena import read_examples
from tests.experiments.studies.conftest import flags, results
from tests.experiments.studies.test_contrasts import fitting_lines
from transformer.analysis import patching
from transformer.training.checkpoint import Checkpoints


@pytest.mark.slow
def test_each_checkpoint_is_measured(untrained: Callable[..., pathlib.Path], tmp_path: pathlib.Path) -> None:
    folder = untrained()
    first = InspectedRun(folder)
    other = dataclasses.replace(first.spec, train=dataclasses.replace(first.spec.train, seed=5))
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.save(2, System.make(other, first.tokenizer).initial_state())
    checkpoints.close()
    lines = tmp_path / "lines.tsv"
    lines.write_text("".join("\t".join(line) + "\n" for line in fitting_lines(first)), encoding="utf-8")
    arguments = {"study": ["dynamics"], "contrast": str(lines), "output": str(tmp_path), "sentences": 3}
    analyze(flags(folder, **arguments))
    points = results(tmp_path)["dynamics"][folder.name]
    assert [point["step"] for point in points] == [1, 2]
    pairs = read_pairs(first, read_examples(str(lines)), "lines")["all"]
    (batch,) = contrast_batches(pairs, 1)
    for point in points:
        run = first.at_step(point["step"])
        scores = [float(patching.score(run.model, side)[0]) for side in (batch, batch.swapped())]
        assert point["all"]["difference"] == pytest.approx(scores[0] - scores[1], rel=1e-3, abs=1e-5)
        assert point["all"]["right"] == (scores[0] > 0 > scores[1])
        assert len(point["all"]["heads"]) == 9
    assert points[0]["all"]["heads"] != points[1]["all"]["heads"]
    assert np.isfinite([error for point in points for error in point["alignment_error"].values()]).all()
    assert (tmp_path / "dynamics_all.png").exists()
    with pytest.raises(ValueError, match="--seeds: untrained has another vocabulary"):
        analyze(flags(folder, **arguments, seeds=[str(untrained(data__vocab_size=170))]))
