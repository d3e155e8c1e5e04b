"""Searches: what is drawn, judged and given up, and what is left when one is cut off."""

import csv
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("optuna", reason="the extra `search` is not installed")

import optuna

from configs import multi30k, quickstart
from experiments.runtime import cli, leases
from experiments.search import __file__ as source
from experiments.sweeps.cells import changed
from experiments.sweeps.optuna_study import Place, begin
from experiments.sweeps.trials import Search

ROOT = pathlib.Path(source).parents[1]
Small = Callable[..., dict[str, Any]]


def suggest(trial: Any) -> dict[str, Any]:
    return {"train.learning_rate": trial.suggest_float("rate", 1e-3, 1e-1, log=True)}


@pytest.fixture(params=["sqlite", "journal"])
def place(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Place:
    return Place(tmp_path, request.param, "study", "bleu", prune=True)


def make(place: Place, base: dict[str, Any], trials: int = 3, suggest: Callable[[Any], Any] = suggest) -> Search:
    return Search(place, base, suggest, trials, 60.0)


def test_as_many_trials_as_asked_for_are_drawn_and_what_a_dead_process_left_comes_first(
    place: Place, small: Small
) -> None:
    search = make(place, small())
    held = leases.claim(place.folder / "claims", "trial0", 60)
    assert held is not None
    # The first trial is another's. The second is left alone by whoever drew it, until it is told.
    assert [search._next() for _ in range(3)] == [0, 1, 1]
    place.study().tell(1, 20.0)
    assert search._next() == 2
    place.study().tell(2, 30.0)
    assert search._next() is None
    with held:
        pass
    assert search._next() == 0  # its process is gone
    rates = [trial.user_attrs["changes"]["train.learning_rate"] for trial in place.study().trials]
    assert len(set(rates)) == 3
    assert make(place, small(), trials=4)._next() == 0


def test_the_same_search_draws_the_same(tmp_path: pathlib.Path, small: Small) -> None:
    def drawn(name: str) -> list[float]:
        place = Place(tmp_path / name, "sqlite", name, "loss", prune=True)
        place.folder.mkdir()
        for number in range(3):
            make(place, small())._next()
            place.study().tell(number, float(number))
        return [trial.params["rate"] for trial in place.study().trials]

    assert drawn("a") == drawn("b")


def test_a_trial_that_was_cut_off_while_it_was_drawn_is_given_up(tmp_path: pathlib.Path, small: Small) -> None:
    place = Place(tmp_path, "sqlite", "study", "bleu", prune=True)
    place.study().ask()

    def broken(trial: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make(place, small(), suggest=broken)._next()
    assert make(place, small())._next() == 2
    assert [trial.state.name for trial in place.study().trials] == ["FAIL", "FAIL", "RUNNING"]


def test_a_draw_that_makes_no_sense_is_one_line(
    tmp_path: pathlib.Path, small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path, "sqlite", "study", "bleu", prune=True)
    search = make(place, small(), suggest=lambda trial: {"model.heads": trial.suggest_int("heads", 5, 5)})
    cli.flags.FLAGS.unparse_flags()
    cli.flags.FLAGS(["test"])
    with pytest.raises(SystemExit) as stopped:
        search._next()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: trial 0: model width 12 does not divide into 5 heads; give ")
    assert [trial.state.name for trial in place.study().trials] == ["FAIL"]


@pytest.mark.parametrize(("metric", "best"), [("bleu", 2), ("loss", 0)])
def test_the_best_is_told_as_flags(
    metric: str, best: int, tmp_path: pathlib.Path, small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path, "sqlite", "study", metric, prune=True)
    search = make(place, small(), trials=4)
    for number in range(4):
        search._next()
        if number < 3:
            place.study().tell(number, 10.0 + number)
        else:
            place.study().tell(number, state=optuna.trial.TrialState.PRUNED)
    search.tell()
    rate = place.study().trials[best].params["rate"]
    assert capsys.readouterr().out == (
        f"best of 4: trial {best}, {metric} {10 + best:.3f}\n--config.train.learning_rate={rate}\n"
    )
    rows = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == ["complete"] * 3 + ["pruned"]
    assert [float(row[metric]) for row in rows[:3]] == [10.0, 11.0, 12.0]
    assert float(rows[best]["train.learning_rate"]) == rate


def test_a_folder_keeps_one_search(tmp_path: pathlib.Path, small: Small) -> None:
    first = begin(tmp_path, small(), "bleu", "sqlite", True)
    assert begin(tmp_path, small(), "bleu", "sqlite", False) == first._replace(prune=False)
    assert [path.name for path in tmp_path.iterdir()] == ["search.json"]
    for changes, message in (
        ((small(train__steps=7), "bleu", "sqlite"), "another base;"),
        ((small(), "loss", "sqlite"), "another metric;"),
        ((small(), "loss", "journal"), "another metric and storage;"),
    ):
        with pytest.raises(ValueError, match=message):
            begin(tmp_path, *changes, True)
    assert begin(tmp_path / "other", small(), "bleu", "sqlite", True).name != first.name
    # A setting that was added later has its base value.
    kept = json.loads((tmp_path / "search.json").read_text())
    del kept["base"]["model"]["dropout_word"]
    (tmp_path / "search.json").write_text(json.dumps(kept))
    assert begin(tmp_path, small(), "bleu", "sqlite", True) == first


SPACES = sorted(path for path in (ROOT / "configs/search_spaces").glob("[!_]*.py"))


@pytest.mark.parametrize("path", SPACES, ids=[path.stem for path in SPACES])
@pytest.mark.parametrize("base", [quickstart, multi30k], ids=["quickstart", "multi30k"])
def test_what_a_shipped_space_draws_makes_sense(path: pathlib.Path, base: Any) -> None:
    suggest = cli.module_of("--space", str(path), "suggest").suggest
    config = base.get_config().to_dict()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [suggest(study.ask()) for _ in range(9)]
    keys = {key for changes in drawn for key in changes}
    for key in keys:
        assert len({changes[key] for changes in drawn if key in changes}) > 1
    for changes in drawn:
        assert changed(config, "draw", changes) != changed(config, "base", {})


@pytest.mark.slow
def test_a_search_trains_what_it_draws_gives_up_what_is_hopeless_and_goes_on(
    tmp_path: pathlib.Path, small: Small
) -> None:
    """The first trials learn, but for one that fails and ends nothing; the last two do not move at all."""
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

    def run(trials: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, f"--workdir={folder}", f"--trials={trials}"], cwd=ROOT, capture_output=True, text=True
        )

    first = run(3)
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
    assert "given up after update" in (folder / "trial5.log").read_text()
