"""Metrics are read as they were written, also after an interruption."""

import json
from pathlib import Path
from typing import Any

import pytest

from transformer.training import metrics
from transformer.training.metrics import Recorder


def record(directory: Path, steps: list[int], start: int = 0) -> None:
    recorder = Recorder(directory, start)
    for step in steps:
        recorder.write(step, "train", {"loss": 1 / step})
    recorder.close()


def steps(directory: Path) -> list[int]:
    return [event["step"] for event in metrics.read(directory)]


def test_events_are_read_back_in_order(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.write(7, "train", {"loss": 0.1 + 0.2, "perplexity": 1e-300})
    recorder.write(7, "validation", {"bleu": 41.8, "loss": float("inf")})
    # Each event is in the file at once, so a killed run loses none.
    assert metrics.read(tmp_path) == [
        {"step": 7, "split": "train", "loss": 0.1 + 0.2, "perplexity": 1e-300},
        {"step": 7, "split": "validation", "bleu": 41.8, "loss": float("inf")},
    ]
    recorder.close()
    assert len((tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_a_new_run_has_no_events(tmp_path: Path) -> None:
    assert metrics.read(tmp_path) == []


def test_resuming_removes_events_after_the_checkpoint(tmp_path: Path) -> None:
    record(tmp_path, [1, 2, 3, 4])
    record(tmp_path, [3, 4, 5], start=2)
    assert steps(tmp_path) == [1, 2, 3, 4, 5]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_starting_over_removes_everything(tmp_path: Path) -> None:
    record(tmp_path, [1, 2, 3])
    record(tmp_path, [1])
    assert steps(tmp_path) == [1]


@pytest.mark.parametrize("lost", [1, 2, 11])
def test_an_incomplete_last_line_is_skipped(tmp_path: Path, lost: int) -> None:
    """A loss of 1 byte removes only the line break, and no event."""
    record(tmp_path, [1, 2, 3])
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-lost])
    complete = [1, 2, 3] if lost == 1 else [1, 2]
    assert steps(tmp_path) == complete
    record(tmp_path, [5], start=4)
    assert steps(tmp_path) == [*complete, 5]


class Listed:
    """A tracker that lists its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def log(self, step: int, values: dict[str, float]) -> None:
        self.calls.append((step, values))

    def log_text(self, step: int, name: str, text: str) -> None:
        self.calls.append((step, name, text))

    def flush(self) -> None:
        self.calls.append("flush")

    def close(self) -> None:
        self.calls.append("close")


def test_trackers_get_the_same(tmp_path: Path) -> None:
    trackers = Listed(), Listed()
    recorder = Recorder(tmp_path, trackers=[lambda folder, tracker=tracker: tracker for tracker in trackers])
    recorder.write(7, "train", {"loss": 0.5, "perplexity": 3.0})
    recorder.write_text(9, "validation/translations", "un chat")
    recorder.flush()
    recorder.close()
    expected = [(7, {"train/loss": 0.5, "train/perplexity": 3.0}), (9, "validation/translations", "un chat")]
    assert [tracker.calls for tracker in trackers] == 2 * [[*expected, "flush", "close"]]


def test_numbers_are_json(tmp_path: Path) -> None:
    """Other programs read the file line by line."""
    record(tmp_path, [3])
    assert json.loads((tmp_path / "metrics.jsonl").read_text(encoding="utf-8")) == {
        "step": 3,
        "split": "train",
        "loss": 1 / 3,
    }
