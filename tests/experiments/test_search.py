"""The command `search`: shipped spaces, pruning, failures and interruption."""

import csv
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from configs import multi30k, quickstart
from experiments.runtime import config_files
from experiments.search import __file__ as source
from experiments.sweeps.cells import apply_changes

pytest.importorskip("optuna", reason="the extra `search` is not installed")

ROOT = pathlib.Path(source).parents[1]

Small = Callable[..., dict[str, Any]]

SPACES = sorted(path for path in (ROOT / "configs/search_spaces").glob("[!_]*.py"))


@pytest.mark.parametrize("path", SPACES, ids=[path.stem for path in SPACES])
@pytest.mark.parametrize("base", [quickstart, multi30k], ids=["quickstart", "multi30k"])
def test_shipped_spaces_draw_valid_settings(path: pathlib.Path, base: Any) -> None:
    suggest = config_files.load_module("--space", str(path), "suggest").suggest
    config = base.get_config().to_dict()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [suggest(study.ask()) for _ in range(9)]
    keys = {key for changes in drawn for key in changes}
    for key in keys:
        assert len({changes[key] for changes in drawn if key in changes}) > 1
    for changes in drawn:
        assert apply_changes(config, "draw", changes) != apply_changes(config, "base", {})


@pytest.mark.slow
def test_a_search_trains_prunes_and_continues(tmp_path: pathlib.Path, small: Small) -> None:
    """The first trials learn, except one that fails without stopping the search; the last two do not learn."""
    settings = small(train__steps=6, evaluate__every=2, train__adam_epsilon=1e-3)
    config, space = tmp_path / "config.py", tmp_path / "space.py"
    config.write_text(
        f"from ml_collections import ConfigDict\ndef get_config():\n    return ConfigDict({settings!r})\n"
    )
    space.write_text(
        "def suggest(trial):\n"
        "    rate = trial.suggest_float('rate', 0.01, 0.02)\n"
        "    if trial.number == 1:\n"
        "        return {'data.vocab_size': 5000}\n"
        "    return {'train.learning_rate': rate if trial.number < 5 else 1e-9}\n"
    )
    folder = tmp_path / "search"
    program = [sys.executable, "-m", "experiments.search", f"--config={config}", f"--space={space}", "--metric=loss"]

    def run(trials: int, workers: int = 1) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, f"--workdir={folder}", f"--trials={trials}", f"--workers={workers}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    first = run(3, workers=2)
    assert first.returncode == 0, first.stderr
    assert "trial 1: fail" in first.stdout
    assert not list((folder / "trial0/translations").glob("test.*"))  # the test split was never opened
    again = run(7)
    assert again.returncode == 0, again.stderr
    assert "trial 0" not in again.stdout.replace("best of 7: trial 0", "")
    rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == [
        "complete",
        "fail",
        "complete",
        "complete",
        "complete",
        "pruned",
        "pruned",
    ]
    assert json.loads((folder / "trial5/config.json").read_text())["train"]["learning_rate"] == 1e-9
    assert "pruned after update" in (folder / "trial5.log").read_text()
