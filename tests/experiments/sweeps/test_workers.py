"""Workers of a sweep: each has its own core, and a failure or a signal is handled."""

import os
import pathlib
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from experiments.runtime import memory, xla_env
from experiments.sweeps import workers
from experiments.sweeps.cells import expand
from experiments.sweeps.scheduler import Scheduler
from transformer.spec import Spec

Small = Callable[..., dict[str, Any]]


def note(folder: str, fail: bool = False) -> None:
    """Writes the worker's cores and share of the memory."""
    (pathlib.Path(folder) / str(os.getpid())).write_text(f"{xla_env.core_count()} {os.environ[memory.WORKERS]}")
    if fail:
        os.kill(os.getpid(), signal.SIGKILL)


def fail_once(folder: str) -> None:
    """The first worker is killed; the other one works on."""
    try:
        (pathlib.Path(folder) / "first").mkdir()
    except FileExistsError:
        time.sleep(0.5)
        note(folder)
    else:
        note(folder, fail=True)


def wait(folder: str) -> None:
    note(folder)
    time.sleep(60)


def test_each_worker_has_a_part_of_the_cores_and_of_the_memory(tmp_path: pathlib.Path) -> None:
    assert workers.run(2, note, [str(tmp_path)], lambda: None) == 0
    notes = [path.read_text().split() for path in tmp_path.iterdir()]
    assert len(notes) == 2
    assert sum(int(cores) for cores, _ in notes) == max(2, xla_env.core_count())
    assert {share for _, share in notes} == {"2"}
    assert memory.WORKERS not in os.environ


def test_a_failed_worker_does_not_stop_the_other(tmp_path: pathlib.Path) -> None:
    assert workers.run(2, fail_once, [str(tmp_path)], lambda: None) == 1
    assert len(list(tmp_path.glob("[0-9]*"))) == 2


def test_a_sweep_says_which_cells_dead_workers_leave(
    small: Small, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = expand(small(), {"base": {}, "one": {"model.heads": 1}}, [0], tmp_path)
    monkeypatch.setattr(workers, "run", lambda *_: 1)
    with pytest.raises(ChildProcessError, match=r"1 of 2 workers died, without a result for base-0, one-0; run the"):
        Scheduler(tmp_path, cells, [], 60).run_workers(2)
    for cell in cells:
        cell.mark_failed("none")
    assert Scheduler(tmp_path, cells, [], 60).run_workers(2) == ["base-0", "one-0"]


def test_default_count(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.xla_env, "core_count", lambda: 4)
    monkeypatch.setattr(workers.memory, "available", lambda: 100 << 30)
    monkeypatch.setattr(workers.subprocesses, "call", lambda _: True)
    specs = [Spec.from_config(small())] * 9
    assert workers.default_count(specs) == 4
    assert workers.default_count(specs[:3]) == 3
    assert workers.default_count([]) == 1
    monkeypatch.setattr(workers.memory, "available", lambda: 7 << 30)
    assert workers.default_count(specs) == 2
    monkeypatch.setattr(workers.subprocesses, "call", lambda _: False)  # a GPU or a TPU
    assert workers.default_count(specs) == 1


def test_an_exception_stops_all_workers(tmp_path: pathlib.Path) -> None:
    def watch() -> None:
        if len(list(tmp_path.iterdir())) == 2:
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        workers.run(2, wait, [str(tmp_path)], watch)
    for path in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


def test_memory_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_machine", lambda: 900)
    monkeypatch.setattr(memory, "_container", lambda: 700)
    assert memory.available() == 700
    monkeypatch.setenv(memory.WORKERS, "7")
    assert memory.available() == 100
