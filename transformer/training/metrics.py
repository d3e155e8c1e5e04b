"""Metrics of a run, as one JSON object per line in metrics.jsonl and as TensorBoard events."""

import json
import pathlib
import sys
import tempfile
from typing import Any

from transformer import atomic_file, storage


class Recorder:
    """Appends events to `metrics.jsonl` and to TensorBoard.

    Nothing can be appended in a bucket: events go to files in a temporary folder, which `flush` uploads.

    Args:
      directory: the run's folder.
      start: step from which the run continues. Events of later steps, from before an interruption, are removed, so that
        the file equals that of an uninterrupted run.
    """

    def __init__(self, directory: pathlib.Path, start: int = 0) -> None:
        events = [event for event in read(directory) if event["step"] <= start]
        self._directory, self._temporary = directory, None
        if storage.in_bucket(directory):
            self._temporary = tempfile.TemporaryDirectory()
            directory = pathlib.Path(self._temporary.name)
        self._path = directory / "metrics.jsonl"
        atomic_file.write(self._path, "".join(json.dumps(event) + "\n" for event in events))
        self._writer = _summary_writer(directory / "tensorboard", purge_step=start + 1 if start else None)
        self.flush()

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Appends the metrics of `split` after `step`."""
        event: dict[str, Any] = {"step": step, "split": split, **values}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(f"{split}/{name}", value, step)

    def write_text(self, step: int, name: str, markdown: str) -> None:
        """Writes a text to TensorBoard."""
        self._writer.add_text(name, markdown, step)

    def flush(self) -> None:
        """Flushes buffered TensorBoard events, and uploads the files if the run's folder is in a bucket."""
        self._writer.flush()
        self._upload()

    def close(self) -> None:
        """Flushes and closes the TensorBoard writer."""
        self._writer.close()
        self._upload()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _upload(self) -> None:
        if self._temporary is not None:
            folder = pathlib.Path(self._temporary.name)
            for path in folder.rglob("*"):
                if path.is_file():
                    (self._directory / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())


class NullRecorder(Recorder):
    """Records nothing; for processes other than the primary one."""

    def __init__(self) -> None: ...

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Does nothing."""

    def write_text(self, step: int, name: str, markdown: str) -> None:
        """Does nothing."""

    def flush(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def read(directory: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the events of a run, oldest first, without an incomplete last line."""
    return read_lines(directory / "metrics.jsonl")


def read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads a file of one JSON object per line, without an incomplete last line; empty if there is no file."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _summary_writer(directory: pathlib.Path, purge_step: int | None) -> Any:
    """Creates a TensorBoard writer; imports tensorboardX without PyTorch.

    tensorboardX imports PyTorch if it is installed, to support its tensors, which takes two seconds at every start.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]  # makes its import fail
    try:
        from tensorboardX import SummaryWriter
    finally:
        if hidden:
            del sys.modules["torch"]
    return SummaryWriter(str(directory), purge_step=purge_step)
