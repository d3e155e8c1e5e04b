"""The scheduler of a sweep: which cells it runs, and how it records processes that fail."""

import io
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from rich.console import Console

from experiments.runtime import leases
from experiments.sweeps import cells, scheduler
from experiments.sweeps.cells import Cell, Config
from experiments.sweeps.scheduler import Scheduler
from transformer.training import metrics


# These replace `run_cells`, in a separate process.
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
    os._exit(leases.LEASE_LOST)


@pytest.fixture
def chosen(small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path) -> list[Cell]:
    return cells.expand(small(), {"base": {}}, range(3), tmp_path)


@pytest.mark.parametrize(
    ("does", "status", "failed"),
    [
        (dies_when_all_is_done, "done", []),
        (dies_at_once, "failed: exit status 139", ["base-0", "base-1", "base-2"]),
        (can_only_do_one, "done", []),
        (loses_its_claim, "0 of 6 updates", []),
    ],
)
def test_the_status_of_a_cell_follows_from_its_files_and_exit_status(
    does: Callable[..., None],
    status: str,
    failed: list[str],
    chosen: list[Cell],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduler, "run_cells", does)
    scheduler_of_cells = Scheduler(tmp_path, chosen, [], 60.0, population=3)
    assert scheduler_of_cells.run() == failed
    assert all(scheduler_of_cells.status(cell).startswith(status) for cell in chosen)


def test_a_cell_of_another_process_is_never_marked_failed(
    chosen: list[Cell], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the first cell from the start."""
    monkeypatch.setattr(scheduler, "run_cells", dies_at_once)
    lease = leases.acquire(tmp_path / "claims", chosen[0].name, 60)
    assert lease is not None
    assert Scheduler(tmp_path, chosen, [], 60.0, population=3).run() == ["base-1", "base-2"]
    assert not chosen[0].failed.exists()


Small = Callable[..., dict[str, Any]]


@pytest.mark.slow
def test_seeds_train_jointly_and_are_scored_separately(small: Small, tmp_path: pathlib.Path) -> None:
    base = small(train__steps=2, train__average_checkpoints=1, evaluate__sentences=0)
    chosen = cells.expand(base, {"base": {}, "smooth": {"train.label_smoothing": 0.3}}, range(2), tmp_path)
    assert Scheduler(tmp_path, chosen, [], 60.0, population=4).run() == []
    results = [json.loads(cell.result.read_text()) for cell in chosen]
    assert len({json.dumps(result["splits"]) for result in results}) == 4  # perplexities differ
    assert {result["members"] for result in results} == {4}
    for cell in chosen:
        assert {event.get("members") for event in metrics.read(cell.path) if event["split"] == "train"} == {4}
    assert "trained jointly with base-0" in chosen[1].log.read_text()


@pytest.mark.slow
def test_members_of_a_failed_population_are_retried_one_by_one(small: Small, tmp_path: pathlib.Path) -> None:
    """One member fails because its folder holds other files."""
    base = small(train__steps=2, train__average_checkpoints=1, evaluate__sentences=0)
    chosen = cells.expand(base, {"base": {}}, range(2), tmp_path)
    chosen[0].path.mkdir(parents=True)
    (chosen[0].path / "something.txt").write_text("of somebody")
    runner = Scheduler(tmp_path, chosen, [], 60.0, population=2)
    assert runner.run() == ["base-0"]
    assert "something" not in runner.status(chosen[1])
    assert runner.status(chosen[1]).startswith("done")


@pytest.fixture
def base(small: Small) -> Config:
    return small(train__steps=2, train__average_checkpoints=1, evaluate__sentences=0)


@pytest.mark.slow
def test_each_cell_runs_once_and_a_failure_does_not_stop_the_sweep(base: Config, tmp_path: pathlib.Path) -> None:
    sweep = {"impossible": {"data.vocab_size": 5000}, "base": {}}
    chosen = cells.expand(base, sweep, [0], tmp_path)
    runner = Scheduler(tmp_path, chosen, [], 60.0)
    assert runner.run() == ["impossible-0"]
    assert "data.vocab_size" in runner.status(chosen[0])
    assert runner.status(chosen[1]).startswith("done: test BLEU")
    result = json.loads(chosen[1].result.read_text())
    assert result["updates"] == 2
    assert result["parameters"] > 1000
    assert result["training_flops"] > 6 * result["target_tokens"] * 12 * 12
    assert set(result["splits"]) == {"test"}
    before = chosen[1].result.stat().st_mtime_ns
    assert runner.run() == ["impossible-0"]
    assert chosen[1].result.stat().st_mtime_ns == before


def test_the_table_shows_the_status_of_every_cell(base: Config, tmp_path: pathlib.Path) -> None:
    variants = {name: {"model.heads": 1} for name in ("done", "failed", "half", "new")}
    done, failed, half, _ = chosen = cells.expand(base, variants, [0], tmp_path)
    for cell in (done, half):
        cell.path.mkdir(parents=True)
    done.result.write_text(json.dumps({"splits": {"test": {"bleu": 31.25}}}))
    failed.mark_failed("Trouble: first line\nMemoryError: too much")
    events = [{"step": 1, "split": "validation", "bleu": 12.5}, {"step": 1, "split": "train", "loss": 3.0}]
    (half.path / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    runner = Scheduler(tmp_path, chosen, [], 60.0)
    console = Console(width=120, file=io.StringIO())
    console.print(runner.table())
    lines = cast(io.StringIO, console.file).getvalue().splitlines()
    expected = {
        "done": "done: test BLEU 31.25",
        "failed": "failed: MemoryError: too much",
        "half": "1 of 2 updates, validation BLEU 12.50",
        "new": "0 of 2 updates",
    }
    for name, words in expected.items():
        assert any(name in line and words in line for line in lines), (name, lines)
    assert "2 of 4 cells finished" in lines[-1]
    # If there are more cells than lines, finished cells are omitted.
    runner = Scheduler(tmp_path, chosen * 10, [], 60.0)
    console.print(runner.table())
    assert not any("31.25" in line for line in cast(io.StringIO, console.file).getvalue().splitlines()[len(lines) :])


def test_a_cell_of_another_process_is_skipped(base: Config, tmp_path: pathlib.Path) -> None:
    (cell,) = cells.expand(base, {"base": {}}, [0], tmp_path)
    lease = leases.acquire(tmp_path / "claims", cell.name, 60)
    assert lease is not None
    runner = Scheduler(tmp_path, [cell], [], 60.0)
    assert runner.run() == []
    assert not cell.path.exists()
    assert runner.status(cell) == f"0 of 2 updates, running on {leases.holder(tmp_path / 'claims', cell.name, 60)}"
