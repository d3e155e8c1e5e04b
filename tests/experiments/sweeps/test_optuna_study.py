"""The file search.json, which fixes base, metric and storage of a search."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from experiments.sweeps.optuna_study import create_or_check

Small = Callable[..., dict[str, Any]]


def test_a_folder_holds_one_search(tmp_path: pathlib.Path, small: Small) -> None:
    first = create_or_check(tmp_path, small(), "bleu", "sqlite", True)
    assert create_or_check(tmp_path, small(), "bleu", "sqlite", False) == first._replace(prune=False)
    assert [path.name for path in tmp_path.iterdir()] == ["search.json"]
    for changes, message in (
        ((small(train__steps=7), "bleu", "sqlite"), "another base;"),
        ((small(), "loss", "sqlite"), "another metric;"),
        ((small(), "loss", "journal"), "another metric and storage;"),
    ):
        with pytest.raises(ValueError, match=message):
            create_or_check(tmp_path, *changes, True)
    assert create_or_check(tmp_path / "other", small(), "bleu", "sqlite", True).name != first.name
    # A setting that was added later has its base value.
    content = json.loads((tmp_path / "search.json").read_text())
    del content["base"]["model"]["dropout_word"]
    (tmp_path / "search.json").write_text(json.dumps(content))
    assert create_or_check(tmp_path, small(), "bleu", "sqlite", True) == first


@pytest.mark.parametrize("name", ["a?b", "a#b", "{a}%20", "a,b c"])
def test_the_database_of_a_search_is_in_its_folder(tmp_path: pathlib.Path, small: Small, name: str) -> None:
    location = create_or_check(tmp_path / name, small(), "loss", "sqlite", True)
    location.open_study().add_trial(optuna.trial.create_trial(value=2.0))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["search.json", "study.db"]
    assert location.open_study().best_value == 2.0
    # A study of an earlier version was opened by the path in a URL.
    if name == "a,b c":
        assert optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / name}/study.db").best_value == 2.0
