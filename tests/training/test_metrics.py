"""Metrics are read as they were written, also after an interruption."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto import event_pb2

from transformer.training import metrics
from transformer.training.metrics import Recorder

PROTO: Any = event_pb2  # its names are made when it is imported


def record(directory: Path, steps: list[int], start: int = 0) -> None:
    recorder = Recorder(directory, start)
    for step in steps:
        recorder.write(step, "train", {"loss": 1 / step})
    recorder.close()


def parse(data: bytes) -> list[Any]:
    """The events of a TensorBoard file: records of length, checksum, event, checksum."""
    events, position = [], 0
    while position < len(data):
        (length,) = struct.unpack_from("<Q", data, position)
        events.append(PROTO.Event.FromString(data[position + 12 : position + 12 + length]))
        position += length + 16
    return events


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


def test_tensorboard_gets_the_same(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.write(7, "train", {"loss": 0.5, "perplexity": 3.0})
    recorder.write(9, "validation", {"bleu": 41.75})
    recorder.write_text(9, "validation/translations", "    un chat\n")
    recorder.close()
    (path,) = (tmp_path / "tensorboard").iterdir()
    events = parse(path.read_bytes())
    values = [(event.step, value) for event in events for value in event.summary.value]
    scalars = [(step, value.tag, value.simple_value) for step, value in values if value.HasField("simple_value")]
    assert scalars == [(7, "train/loss", 0.5), (7, "train/perplexity", 3.0), (9, "validation/bleu", 41.75)]
    assert [(step, value.tensor.string_val[0]) for step, value in values[3:]] == [(9, b"    un chat\n")]


def test_tensorboard_discards_events_after_the_checkpoint(tmp_path: Path) -> None:
    """It does so for a session that starts at a later step."""
    record(tmp_path, [3], start=2)
    (path,) = (tmp_path / "tensorboard").iterdir()
    starts = [event.step for event in parse(path.read_bytes()) if event.session_log.status == PROTO.SessionLog.START]
    assert starts == [3]


def test_numbers_are_json(tmp_path: Path) -> None:
    """Other programs read the file line by line."""
    record(tmp_path, [3])
    assert json.loads((tmp_path / "metrics.jsonl").read_text(encoding="utf-8")) == {
        "step": 3,
        "split": "train",
        "loss": 1 / 3,
    }


def test_a_run_does_not_import_pytorch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("print('imported')")
    lines = (
        "import pathlib, sys\n"
        "from transformer.training.metrics import Recorder\n"
        f"Recorder(pathlib.Path({str(tmp_path)!r})).close()\n"
        "assert 'torch' not in sys.modules\n"
        "import torch\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", lines], env=environment, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (0, "imported\n"), done.stderr
