"""Slices of the stand-in cloud, and the progress of tests/launch/trainer.py on them."""

import pathlib
import time
from collections.abc import Callable
from subprocess import Popen

from launch import supervisor
from launch.shell import Shell
from launch.tpu_vm import Accelerator, TpuVm

STEPS = 60  # of tests/launch/trainer.py


def set_up(workdir: pathlib.Path, queued: bool = False) -> tuple[TpuVm, Callable[[], None]]:
    """Creates and sets up a slice with one host; returns it, and a function that starts a run on it."""
    accelerator = Accelerator.parse("v5litepod-8")
    tpu = TpuVm(Shell(), "pod", ["--zone=z"], accelerator, "image", spot=True, queued=queued)
    tpu.create()
    supervisor.wait_until_ready(tpu, 0.0)
    tpu.setup("echo prepared >prepared")
    return tpu, lambda: tpu.start(f".venv/bin/python -m experiments.train --workdir={workdir}")


def steps(workdir: pathlib.Path) -> list[int]:
    """Returns the steps that the trainer has counted."""
    path = workdir / "steps"
    return [int(step) for step in path.read_text().split()] if path.exists() else []


def wait_until(condition: Callable[[], bool], within: float = 60.0, process: Popen[str] | None = None) -> None:
    """Waits until the condition holds; fails after `within` seconds, and when the process exits."""
    end = time.monotonic() + within
    while not condition():
        assert process is None or process.poll() is None, "the process exited too early"
        assert time.monotonic() < end, f"not reached within {within} seconds"
        time.sleep(0.02)
