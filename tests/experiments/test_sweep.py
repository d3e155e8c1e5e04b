"""The command `sweep`: its files, and its state after an interruption."""

import importlib.metadata
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from experiments.sweep import load, population_size, worker_count
from experiments.sweeps import cells
from experiments.sweeps.cells import Config

Small = Callable[..., dict[str, Any]]

ROOT = pathlib.Path(cells.__file__).parents[2]


@pytest.fixture
def base(small: Small) -> Config:
    return small(train__steps=2, train__average_checkpoints=1, evaluate__sentences=0)


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
    path.write_text("import configs.absent")
    with pytest.raises(ValueError, match=r"mine\.py cannot be imported: ModuleNotFoundError: .*configs\.absent"):
        load(str(path))


def sweep_elsewhere(folder: pathlib.Path, settings: Config, cwd: pathlib.Path) -> list[str]:
    """Writes a config and a sweep file to `folder`; returns the command that runs them in the folder `cwd`."""
    if cwd != ROOT:
        try:
            importlib.metadata.version("transformer-research")
        except importlib.metadata.PackageNotFoundError:
            pytest.skip("the package is not installed")
    (folder / "my_config.py").write_text(
        "from ml_collections import ConfigDict\nfrom configs import base\n"
        "def get_config():\n    config = base.get_config()\n"
        f"    config.update(ConfigDict({settings!r}))\n    return config\n"
    )
    (folder / "my_sweep.py").write_text(
        "from configs.variants import axis\ndef get_sweep():\n    return axis('model.heads', [3, 1])\n"
    )
    files = [f"--config={folder}/my_config.py", f"--sweep={folder}/my_sweep.py", f"--workdir={folder}/sweep"]
    return [sys.executable, "-m", "experiments.sweep", *files, "--seeds=1"]


@pytest.mark.parametrize("in_root", [True, False], ids=["in the repository", "elsewhere"])
def test_files_may_lie_in_any_folder(base: Config, tmp_path: pathlib.Path, in_root: bool) -> None:
    cwd = ROOT if in_root else tmp_path
    command = sweep_elsewhere(tmp_path, base, cwd)
    status = subprocess.run([*command, "--dry_run"], cwd=cwd, capture_output=True, text=True)
    assert status.returncode == 0, status.stderr
    assert status.stdout == "".join(f"heads={heads}-0: 0 of 2 updates\n" for heads in (3, 1))


@pytest.mark.slow
def test_a_sweep_and_its_report_in_any_folder(base: Config, tmp_path: pathlib.Path) -> None:
    command = sweep_elsewhere(tmp_path, base, tmp_path)
    trained = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert trained.returncode == 0, trained.stderr
    report = [sys.executable, "-m", "experiments.report", f"--workdir={tmp_path}/sweep"]
    reported = subprocess.run(report, cwd=tmp_path, capture_output=True, text=True)
    assert reported.returncode == 0, reported.stderr
    assert "### BLEU on test compared with heads=3" in reported.stdout
    assert (tmp_path / "sweep/report/report.html").exists()


@pytest.mark.slow
def test_workers_and_small_files_continue_elsewhere(base: Config, tmp_path: pathlib.Path) -> None:
    """Two workers train the cells; another machine, with other devices, takes all but one of them from the files."""
    command = [*sweep_elsewhere(tmp_path, base, ROOT), f"--cells={tmp_path}/files", "--workers=2"]
    trained = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.count(": done: test BLEU") == 2
    files = sorted((tmp_path / "files").glob("*.xz"))
    assert [path.name for path in files] == ["heads=1-0.json.xz", "heads=3-0.json.xz"]
    files[0].unlink()
    command = [*command, f"--workdir={tmp_path}/other", "--config.parallel.cpu_devices=1"]
    trained = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert trained.returncode == 0, trained.stderr
    assert f"(from {tmp_path}/files)" in trained.stdout
    assert not (tmp_path / "other/heads=3/seed0/checkpoints").exists()
    assert (tmp_path / "other/heads=1/seed0/checkpoints").exists()
    report = [sys.executable, "-m", "experiments.report", f"--cells={tmp_path}/files", f"--workdir={tmp_path}/reported"]
    tables = subprocess.run(report, cwd=ROOT, capture_output=True, text=True)
    assert tables.returncode == 0, tables.stderr
    of_sweep = [*report[:3], f"--workdir={tmp_path}/other"]
    assert tables.stdout == subprocess.run(of_sweep, cwd=ROOT, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_a_stopped_sweep_leaves_no_process_and_no_lease(base: Config, small: Small, tmp_path: pathlib.Path) -> None:
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
    (lease_file,) = (folder / "claims").iterdir()
    worker = json.loads(lease_file.read_text())["pid"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    status_run = subprocess.run(
        [*command, f"--workdir={folder}", "--seeds=1", "--dry_run"], cwd=ROOT, capture_output=True, text=True
    )
    assert status_run.returncode == 0
    assert status_run.stdout.startswith("base-0: ")
    assert "running on" not in status_run.stdout


def test_population_size() -> None:
    assert [population_size(text) for text in ("auto", "off", "1", "16")] == [0, 1, 1, 16]
    for text in ("0", "-1", "many", ""):
        with pytest.raises(ValueError, match="neither auto nor off nor a number"):
            population_size(text)


def test_worker_count() -> None:
    assert [worker_count(text) for text in ("auto", "1", "16")] == [0, 1, 16]
    for text in ("0", "-1", "many", ""):
        with pytest.raises(ValueError, match="neither auto nor a number"):
            worker_count(text)
