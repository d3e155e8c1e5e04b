"""A sweep of tiny runs: what is run, what is not run again, what is left when it is cut off."""

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from rich.console import Console

from experiments.runtime import leases
from experiments.sweep import load
from experiments.sweeps import cells
from experiments.sweeps.cells import Config
from experiments.sweeps.scheduler import Runner

Small = Callable[..., dict[str, Any]]
ROOT = pathlib.Path(cells.__file__).parents[2]
SWEEP = {"base": {}, "one head": {"model.heads": 1}}


@pytest.fixture
def base(small: Small) -> Config:
    return small(train__steps=2, train__average_checkpoints=1, evaluate__sentences=0)


def test_cells_are_variants_times_seeds_and_differ_in_what_they_say(base: Config, tmp_path: pathlib.Path) -> None:
    found = cells.expand(base, SWEEP, range(2), tmp_path)
    assert [cell.name for cell in found] == ["base-0", "one_head-0", "base-1", "one_head-1"]
    assert [(cell.spec.model.heads, cell.spec.train.seed) for cell in found] == [(3, 0), (1, 0), (3, 1), (1, 1)]
    assert found[1].path == tmp_path / "one_head/seed0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.hads": 1}, r"'x' changes model\.hads"),
        ({"heads": 1}, "'x' changes heads"),
        ({"model.heads": 5}, "'x': model width 12 does not divide into 5 heads"),
    ],
)
def test_a_variant_that_makes_no_sense_is_named(base: Config, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cells.expand(base, {"x": changes}, [0], pathlib.Path())


def test_names_that_would_share_a_folder_are_refused(base: Config) -> None:
    with pytest.raises(ValueError, match="share a folder"):
        cells.expand(base, {"a b": {}, "a/b": {"model.heads": 1}}, [0], pathlib.Path())


def test_a_folder_keeps_one_base_and_takes_new_variants(base: Config, tmp_path: pathlib.Path) -> None:
    cells.begin(tmp_path, base, {"a": {"model.d_k": None}}, {"a": {"bleu": 1.0}})
    cells.begin(tmp_path, base, {"b": {"model.heads": 1}}, {})
    kept = json.loads((tmp_path / "sweep.json").read_text())
    assert list(kept["variants"]) == ["a", "b"]
    assert kept["published"] == {"a": {"bleu": 1.0}}
    with pytest.raises(ValueError, match="variant 'b' is another"):
        cells.begin(tmp_path, base, {"b": {"model.heads": 2}}, {})
    with pytest.raises(ValueError, match="another base"):
        cells.begin(tmp_path, {**base, "train": {**base["train"], "steps": 3}}, {}, {})


def test_a_sweep_file_is_read_with_its_argument(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "PUBLISHED = {'x': {'bleu': 2.0}}\ndef get_sweep(heads='3'):\n    return {'x': {'model.heads': int(heads)}}\n"
    )
    assert load(str(path)) == ({"x": {"model.heads": 3}}, {"x": {"bleu": 2.0}})
    assert load(f"{path}:5")[0] == {"x": {"model.heads": 5}}
    with pytest.raises(FileNotFoundError, match=r"no\.py does not exist"):
        load(str(tmp_path / "no.py"))
    path.write_text("")
    with pytest.raises(ValueError, match=r"no get_sweep\(\)"):
        load(str(path))


@pytest.mark.slow
def test_a_sweep_runs_each_cell_once_and_goes_on_after_one_that_fails(base: Config, tmp_path: pathlib.Path) -> None:
    sweep = {"impossible": {"data.vocab_size": 5000}, "base": {}}
    chosen = cells.expand(base, sweep, [0], tmp_path)
    runner = Runner(tmp_path, chosen, [], 60.0)
    assert runner.work() == ["impossible-0"]
    assert "data.vocab_size" in runner.status(chosen[0])
    assert runner.status(chosen[1]).startswith("done: test BLEU")
    result = json.loads(chosen[1].result.read_text())
    assert result["updates"] == 2
    assert result["parameters"] > 1000
    assert result["training_flops"] > 6 * result["target_tokens"] * 12 * 12
    assert set(result["splits"]) == {"test"}
    before = chosen[1].result.stat().st_mtime_ns
    assert runner.work() == ["impossible-0"]
    assert chosen[1].result.stat().st_mtime_ns == before


def test_the_table_shows_where_every_cell_stands(base: Config, tmp_path: pathlib.Path) -> None:
    variants = {name: {"model.heads": 1} for name in ("done", "failed", "half", "new")}
    done, failed, half, _ = chosen = cells.expand(base, variants, [0], tmp_path)
    for cell in (done, half):
        cell.path.mkdir(parents=True)
    done.result.write_text(json.dumps({"splits": {"test": {"bleu": 31.25}}}))
    failed.fail("Trouble: first line\nMemoryError: too much")
    events = [{"step": 1, "split": "validation", "bleu": 12.5}, {"step": 1, "split": "train", "loss": 3.0}]
    (half.path / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    runner = Runner(tmp_path, chosen, [], 60.0)
    shown = Console(width=120, file=io.StringIO())
    shown.print(runner.table())
    lines = cast(io.StringIO, shown.file).getvalue().splitlines()
    wanted = {
        "done": "done: test BLEU 31.25",
        "failed": "failed: MemoryError: too much",
        "half": "1 of 2 updates, validation BLEU 12.50",
        "new": "0 of 2 updates",
    }
    for name, words in wanted.items():
        assert any(name in line and words in line for line in lines), (name, lines)
    assert "2 of 4 cells are over" in lines[-1]
    # What is over gives way where there are more cells than lines.
    runner = Runner(tmp_path, chosen * 10, [], 60.0)
    shown.print(runner.table())
    assert not any("31.25" in line for line in cast(io.StringIO, shown.file).getvalue().splitlines()[len(lines) :])


def test_what_another_process_works_on_is_left_to_it(base: Config, tmp_path: pathlib.Path) -> None:
    (cell,) = cells.expand(base, {"base": {}}, [0], tmp_path)
    held = leases.claim(tmp_path / "claims", cell.name, 60)
    assert held is not None
    runner = Runner(tmp_path, [cell], [], 60.0)
    assert runner.work() == []
    assert not cell.path.exists()
    assert runner.status(cell) == f"0 of 2 updates, {leases.owner(tmp_path / 'claims', cell.name, 60)} is at it"


@pytest.mark.slow
def test_a_sweep_that_is_cut_off_leaves_no_process_and_no_claim(
    base: Config, small: Small, tmp_path: pathlib.Path
) -> None:
    config, sweep = tmp_path / "config.py", tmp_path / "variants.py"
    settings = small(train__steps=100_000, evaluate__every=100_000, checkpoint__every=100_000, train__log_every=1)
    config.write_text(
        f"from ml_collections import ConfigDict\ndef get_config():\n    return ConfigDict({settings!r})\n"
    )
    sweep.write_text("def get_sweep():\n    return {'base': {}}\n")
    folder = tmp_path / "sweep"
    command = [sys.executable, "-m", "experiments.sweep", f"--config={config}", f"--sweep={sweep}"]
    process = subprocess.Popen([*command, f"--workdir={folder}", "--seeds=1"], cwd=ROOT)
    metrics = folder / "base/seed0/metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    (held,) = (folder / "claims").iterdir()
    worker = json.loads(held.read_text())["pid"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    shown = subprocess.run(
        [*command, f"--workdir={folder}", "--seeds=1", "--dry_run"], cwd=ROOT, capture_output=True, text=True
    )
    assert shown.returncode == 0
    assert shown.stdout.startswith("base-0: ")
    assert "is at it" not in shown.stdout


@pytest.mark.parametrize("pattern", ["^no positions-1$", "^no_positions-1$"])
def test_cells_are_found_by_their_variant_or_their_folder(
    small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path, pattern: str
) -> None:
    every = cells.expand(small(), {"base": {}, "no positions": {"model.positions": "none"}}, range(2), tmp_path)
    assert [cell.name for cell in cells.named(every, pattern)] == ["no_positions-1"]
    assert cells.named(every, "") == every
    with pytest.raises(ValueError, match=r"--only=base-3: no cell of 4 has such a name"):
        cells.named(every, "base-3")
    with pytest.raises(ValueError, match=r"--only=\(base: no regular expression: missing \)"):
        cells.named(every, "(base")
