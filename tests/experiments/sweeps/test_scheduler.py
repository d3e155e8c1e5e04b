"""What the runner makes of a process that ends in other ways than it should."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from experiments.runtime import leases
from experiments.sweeps import cells, scheduler
from experiments.sweeps.cells import Cell
from experiments.sweeps.scheduler import Runner


# In the place of `work_on`, in a process of their own.
def dies_when_all_is_done(group: Sequence[Cell], *_: Any) -> None:
    for cell in group:
        cell.path.mkdir(parents=True)
        cell.result.write_text('{"splits": {}}')
    os._exit(139)


def dies_at_once(group: Sequence[Cell], *_: Any) -> None:
    del group
    os._exit(139)


def can_only_do_one(group: Sequence[Cell], *_: Any) -> None:
    if len(group) > 1:
        os._exit(1)
    group[0].path.mkdir(parents=True)
    group[0].result.write_text('{"splits": {}}')


def loses_its_claim(group: Sequence[Cell], *_: Any) -> None:
    del group
    os._exit(leases.LOST)


@pytest.fixture
def chosen(small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path) -> list[Cell]:
    return cells.expand(small(), {"base": {}}, range(3), tmp_path)


@pytest.mark.parametrize(
    ("does", "said", "failed"),
    [
        (dies_when_all_is_done, "done", []),
        (dies_at_once, "failed: ended with status 139", ["base-0", "base-1", "base-2"]),
        (can_only_do_one, "done", []),
        (loses_its_claim, "0 of 6 updates", []),
    ],
)
def test_each_cell_is_what_came_of_it(
    does: Callable[..., None],
    said: str,
    failed: list[str],
    chosen: list[Cell],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduler, "work_on", does)
    found = Runner(tmp_path, chosen, [], 60.0, population=3)
    assert found.work() == failed
    assert all(found.status(cell).startswith(said) for cell in chosen)


def test_a_cell_that_another_process_works_on_is_never_failed(
    chosen: list[Cell], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is another's from the beginning."""
    monkeypatch.setattr(scheduler, "work_on", dies_at_once)
    held = leases.claim(tmp_path / "claims", chosen[0].name, 60)
    assert held is not None
    assert Runner(tmp_path, chosen, [], 60.0, population=3).work() == ["base-1", "base-2"]
    assert not chosen[0].failed.exists()
