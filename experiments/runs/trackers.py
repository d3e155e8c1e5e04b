"""Trackers: where a run's metrics go besides metrics.jsonl, as `train.trackers` says.

A tracker gets scalars by names such as "train/loss", and texts. To add one: a class here, an entry in `_TRACKERS`, its
name in `run_spec.TRACKERS`, and an extra in pyproject.toml.
"""

import functools
import html
import importlib.util
import pathlib
import sys
import uuid
from typing import Any

from experiments.runs.workdir import Workdir
from transformer.spec import Spec
from transformer.training.metrics import NullRecorder, Recorder

_PROJECT = "transformer-research"  # where runs are listed; of W&B, unless the user sets WANDB_PROJECT


class TensorBoard:
    """Writes event files to the folder tensorboard/ of a run. Events after `start` are hidden when it continues."""

    def __init__(self, workdir: Workdir, spec: Spec, start: int, folder: pathlib.Path) -> None:
        del workdir, spec
        self._writer = _summary_writer()(str(folder / "tensorboard"), purge_step=start + 1 if start else None)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Logs scalars after an update."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def log_text(self, step: int, name: str, text: str) -> None:
        """Logs a text, which is shown as it is."""
        self._writer.add_text(name, _as_code(text), step)

    def flush(self) -> None:
        """Writes what is buffered."""
        self._writer.flush()

    def close(self) -> None:
        """Ends the session."""
        self._writer.close()


class Trackio:
    """Logs to trackio, by default in files of the user (TRACKIO_DIR); `trackio show` displays them."""

    def __init__(self, workdir: Workdir, spec: Spec, start: int, folder: pathlib.Path) -> None:
        del start, folder
        import trackio

        self._markdown = trackio.Markdown
        # Runs have unique names.
        name = f"{_name(workdir)}-{_identifier(workdir)}"
        self._run = trackio.init(project=_PROJECT, name=name, config=spec.to_dict(), resume="allow", embed=False)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Logs scalars after an update."""
        self._run.log(values, step)

    def log_text(self, step: int, name: str, text: str) -> None:
        """Logs a text, which is shown as it is."""
        self._run.log({name: self._markdown(_as_code(text))}, step)

    def flush(self) -> None:
        """Does nothing: a thread writes all the time."""

    def close(self) -> None:
        """Ends the session."""
        self._run.finish()


class WeightsAndBiases:
    """Logs to W&B; with WANDB_MODE=offline only to files in the run's folder, which `wandb sync` uploads."""

    def __init__(self, workdir: Workdir, spec: Spec, start: int, folder: pathlib.Path) -> None:
        del start
        import wandb

        self._html = wandb.Html
        self._run = wandb.init(
            project=wandb.setup().settings.project or _PROJECT,
            id=_identifier(workdir),
            name=_name(workdir),
            config=spec.to_dict(),
            dir=folder,
            resume="allow",
            reinit="create_new",  # the members of a population are several runs of one process
            settings=wandb.Settings(console="off"),
        )
        # W&B's own steps never decrease, which updates do when a run continues from its last checkpoint.
        self._run.define_metric("update", hidden=True)
        self._run.define_metric("*", step_metric="update")

    def log(self, step: int, values: dict[str, float]) -> None:
        """Logs scalars after an update."""
        self._run.log({"update": step, **values})

    def log_text(self, step: int, name: str, text: str) -> None:
        """Logs a text, which is shown as it is."""
        self._run.log({"update": step, name: self._html(f"<pre>{html.escape(text)}</pre>")})

    def flush(self) -> None:
        """Does nothing: another process writes all the time."""

    def close(self) -> None:
        """Ends the session."""
        self._run.finish()


_TRACKERS: dict[str, Any] = {"tensorboard": TensorBoard, "trackio": Trackio, "wandb": WeightsAndBiases}
_EXTRAS = ("trackio", "wandb")  # packages that are not always installed, by the name of their tracker and their extra


def check(spec: Spec) -> None:
    """Checks that the trackers of a run can be used, before anything is built.

    Raises:
      ValueError: a package is not installed, or W&B has no key to log in with.
    """
    for name in spec.train.tracker_names:
        if name in _EXTRAS and importlib.util.find_spec(name) is None:
            raise ValueError(f"train.trackers: {name} is not installed: pip install -e '.[{name}]'")
    if "wandb" in spec.train.tracker_names:
        import wandb
        from wandb.errors import Error

        if wandb.setup().settings.mode == "online":
            try:
                wandb.login()  # asks for the key in a terminal
            except Error as error:
                raise ValueError(f"train.trackers: wandb: {error} Or set WANDB_MODE=offline.") from error


def open_recorder(workdir: Workdir, spec: Spec, start: int) -> Recorder:
    """Opens the metrics of a run, with its trackers, to continue after the update `start`."""
    if not workdir.writes:
        return NullRecorder()
    trackers = [functools.partial(_TRACKERS[name], workdir, spec, start) for name in spec.train.tracker_names]
    return Recorder(workdir.path, start, trackers)


def _name(workdir: Workdir) -> str:
    """Returns a run's name for people: the end of its path, such as "runs/quickstart", or "base/seed0" in a sweep."""
    return "/".join(workdir.path.absolute().parts[-2:])


def _identifier(workdir: Workdir) -> str:
    """Returns a run's name for machines, which is unique, and the same when it continues."""
    path = workdir.path / "tracker_id"
    if not path.exists():
        path.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _as_code(text: str) -> str:
    """Returns Markdown that shows a text as it is."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _summary_writer() -> Any:
    """Returns TensorBoard's writer; imports tensorboardX without PyTorch.

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
    return SummaryWriter
