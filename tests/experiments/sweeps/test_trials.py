"""Trials of a search: which are drawn, continued and reported."""

import csv
import pathlib
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from experiments.runtime import cli, leases
from experiments.sweeps.optuna_study import StudyLocation
from experiments.sweeps.trials import TrialRunner

Small = Callable[..., dict[str, Any]]


def suggest(trial: Any) -> dict[str, Any]:
    return {"train.learning_rate": trial.suggest_float("rate", 1e-3, 1e-1, log=True)}


@pytest.fixture(params=["sqlite", "journal"])
def place(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> StudyLocation:
    return StudyLocation(tmp_path, request.param, "study", "bleu", prune=True)


def make(
    place: StudyLocation, base: dict[str, Any], trials: int = 3, suggest: Callable[[Any], Any] = suggest
) -> TrialRunner:
    return TrialRunner(place, base, suggest, trials, 60.0)


def test_unfinished_trials_come_first_and_no_trial_is_drawn_too_many(place: StudyLocation, small: Small) -> None:
    search = make(place, small())
    lease = leases.acquire(place.folder / "claims", "trial0", 60)
    assert lease is not None
    # Another process holds the first trial. No process holds the second trial, which has no result yet.
    assert [search._next() for _ in range(3)] == [0, 1, 1]
    place.open_study().tell(1, 20.0)
    assert search._next() == 2
    place.open_study().tell(2, 30.0)
    assert search._next() is None
    with lease:
        pass
    assert search._next() == 0  # its lease is free
    rates = [trial.user_attrs["changes"]["train.learning_rate"] for trial in place.open_study().trials]
    assert len(set(rates)) == 3
    assert make(place, small(), trials=4)._next() == 0


def test_equal_searches_draw_equal_settings(tmp_path: pathlib.Path, small: Small) -> None:
    def drawn(name: str) -> list[float]:
        place = StudyLocation(tmp_path / name, "sqlite", name, "loss", prune=True)
        place.folder.mkdir()
        for number in range(3):
            make(place, small())._next()
            place.open_study().tell(number, float(number))
        return [trial.params["rate"] for trial in place.open_study().trials]

    assert drawn("a") == drawn("b")


def test_a_trial_interrupted_while_it_was_drawn_fails(tmp_path: pathlib.Path, small: Small) -> None:
    place = StudyLocation(tmp_path, "sqlite", "study", "bleu", prune=True)
    place.open_study().ask()

    def broken(trial: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make(place, small(), suggest=broken)._next()
    assert make(place, small())._next() == 2
    assert [trial.state.name for trial in place.open_study().trials] == ["FAIL", "FAIL", "RUNNING"]


def test_an_invalid_draw_is_one_line(tmp_path: pathlib.Path, small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    place = StudyLocation(tmp_path, "sqlite", "study", "bleu", prune=True)
    search = make(place, small(), suggest=lambda trial: {"model.heads": trial.suggest_int("heads", 5, 5)})
    cli.flags.FLAGS.unparse_flags()
    cli.flags.FLAGS(["test"])
    with pytest.raises(SystemExit) as stopped:
        search._next()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: trial 0: model width 12 does not divide into 5 heads; ")
    assert [trial.state.name for trial in place.open_study().trials] == ["FAIL"]


@pytest.mark.parametrize(("metric", "best"), [("bleu", 2), ("loss", 0)])
def test_the_best_trial_is_printed_as_flags(
    metric: str, best: int, tmp_path: pathlib.Path, small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    place = StudyLocation(tmp_path, "sqlite", "study", metric, prune=True)
    search = make(place, small(), trials=4)
    for number in range(4):
        search._next()
        if number < 3:
            place.open_study().tell(number, 10.0 + number)
        else:
            place.open_study().tell(number, state=optuna.trial.TrialState.PRUNED)
    search.write_summary()
    rate = place.open_study().trials[best].params["rate"]
    assert capsys.readouterr().out == (
        f"best of 4: trial {best}, {metric} {10 + best:.3f}\n--config.train.learning_rate={rate}\n"
    )
    rows = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == ["complete"] * 3 + ["pruned"]
    assert [float(row[metric]) for row in rows[:3]] == [10.0, 11.0, 12.0]
    assert float(rows[best]["train.learning_rate"]) == rate
