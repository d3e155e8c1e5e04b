"""Groups of cells that can train jointly, as a population."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from experiments.sweeps import cells, populations
from experiments.sweeps.cells import Cell

Small = Callable[..., dict[str, Any]]


def test_groups_share_program_and_step_and_have_at_most_the_size(small: Small, tmp_path: pathlib.Path) -> None:
    sweep = {"base": {}, "rate": {"train.learning_rate": 0.1}, "one head": {"model.heads": 1}}
    all_cells = cells.expand(small(), sweep, range(2), tmp_path)
    (all_cells[1].path / "checkpoints" / "3").mkdir(parents=True)
    (all_cells[3].path / "checkpoints" / "7.orbax-checkpoint-tmp").mkdir(parents=True)

    def names(size: int) -> list[list[str]]:
        return [[cell.name for cell in group] for group in populations.groups(all_cells, size)]

    assert names(8) == [["base-0", "base-1", "rate-1"], ["rate-0"], ["one_head-0", "one_head-1"]]
    assert names(2) == [["base-0", "base-1"], ["rate-0"], ["rate-1"], ["one_head-0", "one_head-1"]]
    assert names(1) == [[cell.name] for cell in all_cells]
    for number in (3, 6):  # killed between the saves of two members
        (all_cells[4].path / "checkpoints" / str(number)).mkdir(parents=True)
    assert names(8) == [["base-0", "base-1"], ["rate-0", "rate-1"], ["one_head-0", "one_head-1"]]
    piled = cells.expand(small(train__accumulate=2), sweep, range(2), tmp_path / "other")
    assert [len(group) for group in populations.groups(piled, 8)] == [1] * 6
    pmapped = [
        Cell(
            cell.variant,
            cell.seed,
            dataclasses.replace(cell.spec, parallel=dataclasses.replace(cell.spec.parallel, mode="pmap")),
            cell.path,
        )
        for cell in all_cells
    ]
    assert [len(group) for group in populations.groups(pmapped, 8)] == [1] * 6
