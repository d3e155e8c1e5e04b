"""Trackers get what metrics.jsonl gets, without a network."""

import importlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto import event_pb2

from experiments.runs import trackers
from experiments.runs.workdir import Workdir
from transformer.spec import Spec

PROTO: Any = event_pb2  # its names are made when it is imported
Small = Callable[..., dict[str, Any]]

# Logs two updates in a process, is killed, and continues after the first: arguments are a config and a folder.
TWO_STARTS = """
import json, os, sys
from experiments.runs.trackers import open_recorder
from experiments.runs.workdir import Workdir
from transformer.spec import Spec

spec, workdir = Spec.from_config(json.loads(sys.argv[1])), Workdir(sys.argv[2])
for start in (0, 1):
    recorder = open_recorder(workdir, spec, start)
    for step in range(start + 1, 4):
        recorder.write(step, "train", {"loss": step / 8})
    recorder.write_text(3, "validation/translations", "un <chat>")
    recorder.close()
"""


def spec_of(small: Small, names: str) -> Spec:
    return Spec.from_config(small(train__trackers=names))


def parse(data: bytes) -> list[Any]:
    """The events of a TensorBoard file: records of length, checksum, event, checksum."""
    events, position = [], 0
    while position < len(data):
        (length,) = struct.unpack_from("<Q", data, position)
        events.append(PROTO.Event.FromString(data[position + 12 : position + 12 + length]))
        position += length + 16
    return events


def test_tensorboard_gets_the_same(small: Small, tmp_path: Path) -> None:
    recorder = trackers.open_recorder(Workdir(tmp_path), spec_of(small, "tensorboard"), 0)
    recorder.write(7, "train", {"loss": 0.5, "perplexity": 3.0})
    recorder.write(9, "validation", {"bleu": 41.75})
    recorder.write_text(9, "validation/translations", "un chat")
    recorder.close()
    (path,) = (tmp_path / "tensorboard").iterdir()
    events = parse(path.read_bytes())
    values = [(event.step, value) for event in events for value in event.summary.value]
    scalars = [(step, value.tag, value.simple_value) for step, value in values if value.HasField("simple_value")]
    assert scalars == [(7, "train/loss", 0.5), (7, "train/perplexity", 3.0), (9, "validation/bleu", 41.75)]
    assert [(step, value.tensor.string_val[0]) for step, value in values[3:]] == [(9, b"    un chat")]


def test_tensorboard_discards_events_after_the_checkpoint(small: Small, tmp_path: Path) -> None:
    """It does so for a session that starts at a later step."""
    trackers.open_recorder(Workdir(tmp_path), spec_of(small, "tensorboard"), 2).close()
    (path,) = (tmp_path / "tensorboard").iterdir()
    starts = [event.step for event in parse(path.read_bytes()) if event.session_log.status == PROTO.SessionLog.START]
    assert starts == [3]


def test_a_run_does_not_import_pytorch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("print('imported')")
    lines = (
        "import pathlib, sys\n"
        "from experiments.runs.trackers import TensorBoard\n"
        "from experiments.runs.workdir import Workdir\n"
        f"TensorBoard(Workdir({str(tmp_path)!r}), None, 0, pathlib.Path({str(tmp_path)!r})).close()\n"
        "assert 'torch' not in sys.modules\n"
        "import torch\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", lines], env=environment, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (0, "imported\n"), done.stderr


def run_twice(config: dict[str, Any], folder: Path, **environment: str) -> None:
    """Runs TWO_STARTS in a process without the user's settings and without a network that it could wait for."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "TRACKIO"))}
    folder.mkdir()
    command = [sys.executable, "-c", TWO_STARTS, json.dumps(config), str(folder)]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_trackio_gets_the_same(small: Small, tmp_path: Path) -> None:
    pytest.importorskip("trackio", reason="needs trackio: pip install -e '.[trackio]'")
    folder = tmp_path / "runs" / "base"
    folder.parent.mkdir()
    run_twice(small(train__trackers="trackio"), folder, TRACKIO_DIR=str(tmp_path / "trackio"))
    read = "import json; from trackio.sqlite_storage import SQLiteStorage as S; p = 'transformer-research'\n"
    read += "print(json.dumps({run: S.get_logs(p, run) for run in S.get_runs(p)}))"
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio")}
    done = subprocess.run([sys.executable, "-c", read], env=environment, capture_output=True, text=True, check=True)
    ((name, logs),) = json.loads(done.stdout).items()
    assert name == f"runs/base-{(folder / 'tracker_id').read_text()}"
    assert [(log["step"], log["train/loss"]) for log in logs if "train/loss" in log] == [
        (1, 0.125), (2, 0.25), (3, 0.375), (2, 0.25), (3, 0.375),
    ]  # fmt: skip
    assert "un <chat>" in next(log["validation/translations"]["_value"] for log in logs if "train/loss" not in log)


@pytest.mark.slow
def test_wandb_gets_the_same_offline(small: Small, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="needs wandb: pip install -e '.[wandb]'")
    folder = tmp_path / "base"
    run_twice(small(train__trackers="wandb"), folder, WANDB_MODE="offline")
    identifier = (folder / "tracker_id").read_text()
    files = sorted((folder / "wandb").glob(f"offline-run-*/run-{identifier}.wandb"))
    assert files
    losses = [item for path in files for item in wandb_losses(path)]
    assert losses == [(1, 0.125), (2, 0.25), (3, 0.375), (2, 0.25), (3, 0.375)]
    assert len(list(folder.glob("wandb/offline-run-*/files/media/html/**/*.html"))) >= 1


def wandb_losses(path: Path) -> list[tuple[int, float]]:
    """The updates and losses in a file of W&B: parts of records, in blocks of 32 KiB, as LevelDB writes its log."""
    pb: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    data, position, parts, losses = path.read_bytes(), 7, b"", []
    while position + 7 <= len(data):
        if position % 2**15 > 2**15 - 7:
            position += -position % 2**15
        _, length, kind = struct.unpack_from("<IHB", data, position)
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (2, 3):  # first or middle part
            continue
        record, parts = pb.Record.FromString(parts), b""
        values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        if "train/loss" in values:
            losses.append((values["update"], values["train/loss"]))
    return losses


def test_no_tracker_writes_nothing(small: Small, tmp_path: Path) -> None:
    trackers.open_recorder(Workdir(tmp_path), spec_of(small, ""), 0).close()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_tracker_that_is_not_installed_is_an_error(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    trackers.check(spec_of(small, "tensorboard"))
    with pytest.raises(ValueError, match=r"train.trackers: trackio is not installed.*\[trackio\]"):
        trackers.check(spec_of(small, "tensorboard, trackio"))


def test_wandb_without_a_key_is_an_error(small: Small, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="needs wandb: pip install -e '.[wandb]'")
    lines = (
        "import json, sys\n"
        "from experiments.runs import trackers\n"
        "from transformer.spec import Spec\n"
        "trackers.check(Spec.from_config(json.loads(sys.argv[1])))\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    command = [sys.executable, "-c", lines, json.dumps(small(train__trackers="wandb"))]
    done = subprocess.run(
        command, env=environment | {"HOME": str(tmp_path)}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert "ValueError: train.trackers: wandb: No API key configured." in done.stderr
    assert "WANDB_MODE=offline" in done.stderr


@pytest.mark.parametrize(
    ("names", "expected"), [("wandbb", "did you mean wandb"), ("tensorboard,none", "'none' is none")]
)
def test_an_unknown_tracker_is_an_error(small: Small, names: str, expected: str) -> None:
    with pytest.raises(ValueError, match=f"train.trackers: .*{expected}"):
        spec_of(small, names)
