"""The file search.json, which fixes base, metric and storage of a search."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

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
