"""Finished cells as small files: they restore the report and the sweep on another machine."""

import json
import lzma
import pathlib
from typing import Any

import pytest

from experiments.runs.workdir import Workdir
from experiments.sweeps import archive
from experiments.sweeps.cells import Cell, Config, expand
from experiments.sweeps.report import Report
from experiments.sweeps.scheduler import Scheduler

REFERENCES = [f"the cat {number} sleeps here ." for number in range(31)]


@pytest.fixture
def base(small) -> Config:
    return small()


def finished(base: Config, folder: pathlib.Path, seeds: int = 2) -> list[Cell]:
    """Invented results of a sweep of two variants."""
    variants = {"base": {}, "one head": {"model.heads": 1}}
    cells = expand(base, variants, range(seeds), folder)
    for number, cell in enumerate(cells):
        workdir = Workdir(cell.path)
        cell.path.mkdir(parents=True)
        texts = [line if index % (3 + number) else line.upper() for index, line in enumerate(REFERENCES)]
        workdir.write_translations("test", 70, texts)
        workdir.write_translations("test", "reference", REFERENCES)
        scores: dict[str, Any] = {
            "bleu": 50.0 + number,
            "chrf": 60.0,
            "bleu_paper": 51.0,
            "exact": 1.0,
            "perplexity": 3.5,
        }
        scores["by_source_length"] = [["1-4", 3, 50.0]]
        costs = {"target_tokens": 3e6, "training_flops": 2e15, "tokens_per_second": 4321.0, "training_minutes": 1.5}
        events = [{"step": step, "split": "train", "loss": 1 / 3} for step in range(1, 71)]
        events += [{"step": step, "split": "validation", "loss": 9.0 - step / 9, "bleu": step} for step in (35, 56, 70)]
        workdir.metrics.write_text("".join(json.dumps(event) + "\n" for event in events))
        workdir.write_result({"splits": {"test": scores}, "parameters": 125, "updates": 70, **costs})
    return cells


def sweep_file(folder: pathlib.Path) -> None:
    folder.mkdir(exist_ok=True)
    variants = {"base": {}, "one head": {"model.heads": 1}}
    (folder / "sweep.json").write_text(json.dumps({"base": {}, "variants": variants, "published": {}}))


def test_a_report_of_the_files_equals_that_of_the_sweep(base: Config, tmp_path: pathlib.Path) -> None:
    """Without references: they are not in the files."""
    cells = finished(base, tmp_path / "sweep")
    for folder in ("sweep", "files"):
        sweep_file(tmp_path / folder)
    files = [archive.pack(cell, tmp_path / "files") for cell in cells]
    assert [path.name for path in files] == [
        f"{name}-{seed}.json.xz" for seed in (0, 1) for name in ("base", "one_head")
    ]
    assert max(path.stat().st_size for path in files) < 3000
    assert not any(str(tmp_path) in lzma.decompress(path.read_bytes()).decode() for path in files)
    archive.restore_all(tmp_path / "files", tmp_path / "restored")
    expected = Report.from_folder(tmp_path / "sweep").tables()
    assert Report.from_folder(tmp_path / "restored").tables() == expected
    assert "compared with base" in expected
    assert not list((tmp_path / "restored").rglob("*reference*"))


def test_a_sweep_continues_from_the_files(base: Config, tmp_path: pathlib.Path) -> None:
    for cell in finished(base, tmp_path / "first"):
        archive.pack(cell, tmp_path / "files")
    cells = expand(base, {"base": {}, "one head": {"model.heads": 1}}, range(3), tmp_path / "second")
    scheduler = Scheduler(tmp_path / "second", cells, [], 60, archive_folder=tmp_path / "files")
    scheduler.restore()
    assert [cell.finished for cell in cells] == [True] * 4 + [False] * 2
    assert "50.00" in scheduler.status(cells[0])
    other = dict(base) | {"parallel": base["parallel"] | {"cpu_devices": 7}}
    (cell, *_) = expand(other, {"base": {}}, range(1), tmp_path / "third")
    assert archive.unpack(cell, tmp_path / "files")  # the division among devices does not matter


def test_files_of_another_sweep_and_damaged_files_are_refused(base: Config, tmp_path: pathlib.Path) -> None:
    (cell, *_) = finished(base, tmp_path / "first", seeds=1)
    path = archive.pack(cell, tmp_path / "files")
    (other, *_) = expand(base, {"base": {"train.label_smoothing": 0.3}}, range(1), tmp_path / "second")
    with pytest.raises(ValueError, match=r"base-0\.json\.xz was trained with other settings"):
        archive.unpack(other, tmp_path / "files")
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(ValueError, match=r"base-0\.json\.xz: is damaged"):
        archive.read(path)
