"""Cells of a sweep: variants times seeds, their names, folders and selection."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from experiments.sweeps import cells
from experiments.sweeps.cells import Config

Small = Callable[..., dict[str, Any]]

SWEEP = {"base": {}, "one head": {"model.heads": 1}}


@pytest.fixture
def base(small: Small) -> Config:
    return small(train__steps=2, train__average_checkpoints=1, evaluate__sentences=0)


def test_cells_are_variants_times_seeds(base: Config, tmp_path: pathlib.Path) -> None:
    expanded = cells.expand(base, SWEEP, range(2), tmp_path)
    assert [cell.name for cell in expanded] == ["base-0", "one_head-0", "base-1", "one_head-1"]
    assert [(cell.spec.model.heads, cell.spec.train.seed) for cell in expanded] == [(3, 0), (1, 0), (3, 1), (1, 1)]
    assert expanded[1].path == tmp_path / "one_head/seed0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.hads": 1}, r"'x' changes model\.hads, .*; did you mean model\.heads\?$"),
        ({"heads": 1}, "'x' changes heads"),
        ({"model.heads": 5}, "'x': model width 12 does not divide into 5 heads"),
    ],
)
def test_an_invalid_variant_is_reported(base: Config, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cells.expand(base, {"x": changes}, [0], pathlib.Path())


def test_variants_with_the_same_folder_name_are_an_error(base: Config) -> None:
    with pytest.raises(ValueError, match="share a folder"):
        cells.expand(base, {"a b": {}, "a/b": {"model.heads": 1}}, [0], pathlib.Path())


def test_a_folder_has_one_base_and_accepts_new_variants(base: Config, tmp_path: pathlib.Path) -> None:
    cells.create_or_check(tmp_path, base, {"a": {"model.d_k": None}}, {"a": {"bleu": 1.0}})
    cells.create_or_check(tmp_path, base, {"b": {"model.heads": 1}}, {})
    content = json.loads((tmp_path / "sweep.json").read_text())
    assert list(content["variants"]) == ["a", "b"]
    assert content["published"] == {"a": {"bleu": 1.0}}
    with pytest.raises(ValueError, match="variant 'b' has other changes"):
        cells.create_or_check(tmp_path, base, {"b": {"model.heads": 2}}, {})
    with pytest.raises(ValueError, match="another base"):
        cells.create_or_check(tmp_path, {**base, "train": {**base["train"], "steps": 3}}, {}, {})


@pytest.mark.parametrize("pattern", ["^no positions-1$", "^no_positions-1$"])
def test_cells_are_selected_by_variant_or_folder_name(
    small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path, pattern: str
) -> None:
    every = cells.expand(small(), {"base": {}, "no positions": {"model.positions": "none"}}, range(2), tmp_path)
    assert [cell.name for cell in cells.select(every, pattern)] == ["no_positions-1"]
    assert cells.select(every, "") == every
    with pytest.raises(ValueError, match=r"--only=base-3: matches none of 4 cells"):
        cells.select(every, "base-3")
    with pytest.raises(ValueError, match=r"--only=\(base: not a regular expression: missing \)"):
        cells.select(every, "(base")
