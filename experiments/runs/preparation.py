"""Prepares the folder of a run for training."""

from collections.abc import Mapping

import jax

from experiments.runs.system import System
from experiments.runs.workdir import Workdir
from experiments.runtime import preflight
from experiments.runtime.progress import ProgressBar
from transformer.training.checkpoint import quarantine_damaged


def prepare_checkpoints(workdir: Workdir, own_system: System, progress: ProgressBar) -> None:
    """Checks that checkpoints can be written, and moves damaged ones away."""
    if workdir.writes:
        preflight.check_disk(workdir.checkpoints, own_system.state_shapes(), own_system.spec.checkpoint.keep)
        quarantine_damaged(workdir.checkpoints, progress.print)


def write_versions(workdir: Workdir, pretrained: Mapping[str, str | None]) -> int:
    """Writes versions.json; returns the number of devices that the run used before, 0 for a new run."""
    devices_before = len(workdir.devices())
    workdir.write_versions((f"{device.platform}:{device.device_kind}" for device in jax.devices()), pretrained)
    return devices_before
