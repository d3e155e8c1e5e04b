"""What a run measured: one JSON object a line in metrics.jsonl, and the same as TensorBoard events."""

import json
import pathlib
import sys
from typing import Any


class Recorder:
    """Appends events to `metrics.jsonl` and to TensorBoard.

    Args:
      directory: the run's folder.
      start: the step the run continues from; events of later steps, written before the run was cut off, are removed,
        so that the file reads as if the run had never been interrupted.
    """

    def __init__(self, directory: pathlib.Path, start: int = 0) -> None:
        self._path = directory / "metrics.jsonl"
        kept = [event for event in read(directory) if event["step"] <= start]
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(event) + "\n" for event in kept), encoding="utf-8")
        temporary.replace(self._path)
        self._writer = _summary_writer(directory / "tensorboard", purge_step=start + 1 if start else None)

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Records what was measured on `split` after `step`."""
        event: dict[str, Any] = {"step": step, "split": split, **values}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(f"{split}/{name}", value, step)

    def text(self, step: int, name: str, markdown: str) -> None:
        """Shows a text in TensorBoard."""
        self._writer.add_text(name, markdown, step)

    def flush(self) -> None:
        """Writes out what is buffered."""
        self._writer.flush()

    def close(self) -> None:
        """Writes out what is buffered, and ends."""
        self._writer.close()


class Unrecorded(Recorder):
    """Records nothing: for a process beside the one that does."""

    def __init__(self) -> None: ...

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """Does nothing."""

    def text(self, step: int, name: str, markdown: str) -> None:
        """Does nothing."""

    def flush(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def read(directory: pathlib.Path) -> list[dict[str, Any]]:
    """The events of a run so far, oldest first; a last line that was cut off is left out."""
    path = directory / "metrics.jsonl"
    if not path.exists():
        return []
    events = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return events


def _summary_writer(directory: pathlib.Path, purge_step: int | None) -> Any:
    """TensorBoard's, imported when a run first needs it, and without PyTorch.

    tensorboardX imports PyTorch wherever it is installed, to take its tensors too: two seconds of every start.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        from tensorboardX import SummaryWriter
    finally:
        if hidden:
            del sys.modules["torch"]
    return SummaryWriter(str(directory), purge_step=purge_step)
