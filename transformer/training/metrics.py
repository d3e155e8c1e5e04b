"""Metrics of a run: one JSON object per line of metrics.jsonl, and what trackers make of them."""

import json
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from transformer import atomic_file, storage

_METRICS = "metrics.jsonl"


class Tracker(Protocol):
    """Gets a run's metrics, by names such as "train/loss", and texts; see `experiments/runs/trackers.py`."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Logs scalars after an update."""

    def log_text(self, step: int, name: str, text: str) -> None:
        """Logs a text."""

    def flush(self) -> None:
        """Writes what is buffered."""

    def close(self) -> None:
        """Ends the session."""


class Recorder:
    """Appends events to `metrics.jsonl`, and passes them to trackers.

    Nothing can be appended in a bucket: events go to files in a temporary folder, which `flush` uploads.

    Args:
      directory: the run's folder.
      start: step from which the run continues. Events of later steps, from before an interruption, are removed, so that
        the file equals that of an uninterrupted run.
      trackers: functions that open trackers, given the folder on disk for their files.
    """

    def __init__(
        self, directory: pathlib.Path, start: int = 0, trackers: Sequence[Callable[[pathlib.Path], Tracker]] = ()
    ) -> None:
        events = [event for event in read(directory) if event["step"] <= start]
        self._directory, self._temporary = directory, None
        if storage.in_bucket(directory):
            self._temporary = tempfile.TemporaryDirectory()
            directory = pathlib.Path(self._temporary.name)
        self._folder = directory
        self.replace(_METRICS, events)
        self._trackers = [tracker(directory) for tracker in trackers]
        self._upload()

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Appends the metrics of `split` after `step`."""
        self.append(_METRICS, {"step": step, "split": split, **values})
        for tracker in self._trackers:
            tracker.log(step, {f"{split}/{name}": value for name, value in values.items()})

    def write_text(self, step: int, name: str, text: str) -> None:
        """Passes a text to the trackers."""
        for tracker in self._trackers:
            tracker.log_text(step, name, text)

    def append(self, name: str, line: dict[str, Any]) -> None:
        """Appends a line to a file of the run."""
        with (self._folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def replace(self, name: str, lines: Iterable[dict[str, Any]]) -> None:
        """Replaces the lines of a file of the run."""
        atomic_file.write(self._folder / name, "".join(json.dumps(line) + "\n" for line in lines))

    def flush(self) -> None:
        """Makes the trackers write what they buffer, and uploads the files if the run's folder is in a bucket."""
        for tracker in self._trackers:
            tracker.flush()
        self._upload()

    def close(self) -> None:
        """Closes the trackers."""
        for tracker in self._trackers:
            tracker.close()
        self._upload()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _upload(self) -> None:
        if self._temporary is not None:
            storage.upload_folder(pathlib.Path(self._temporary.name), self._directory)


class NullRecorder(Recorder):
    """Records nothing; for processes other than the primary one."""

    def __init__(self) -> None: ...

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Does nothing."""

    def write_text(self, step: int, name: str, text: str) -> None:
        """Does nothing."""

    def append(self, name: str, line: dict[str, Any]) -> None:
        """Does nothing."""

    def replace(self, name: str, lines: Iterable[dict[str, Any]]) -> None:
        """Does nothing."""

    def flush(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def read(directory: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the events of a run, oldest first, without an incomplete last line."""
    return read_lines(directory / _METRICS)


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
