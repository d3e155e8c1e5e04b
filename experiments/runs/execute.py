"""Opens runs and carries them out; prepares the devices before anything imports JAX.

Commands and sweeps import this module at the top, and everything that imports JAX through it.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.runs.workdir import Workdir
from experiments.runtime import xla_env
from experiments.runtime.signals import Interrupts
from transformer.spec import Spec

if TYPE_CHECKING:
    from experiments.runs.run import Run


def open_run(
    spec: Spec, path: str, allowed: Sequence[str] = (), name: str = "", interrupts: Interrupts | None = None
) -> "Run":
    """Prepares the devices and opens the run of `spec` in the folder `path`.

    Args and errors: those of `experiments.runs.run.Run`.
    """
    xla_env.prepare(spec.parallel.cpu_devices)
    from experiments.runs.run import Run

    return Run(spec, path, allowed, time.monotonic, name, interrupts)


def train_and_test(spec: Spec, path: str, allowed: Sequence[str] = ()) -> dict[str, float]:
    """Trains `spec` in the folder `path`, continuing a run that is there; returns the test scores."""
    started = time.monotonic()
    with Workdir(path).held():
        run = open_run(spec, path, allowed)
        from experiments.runs import trainer

        trainer.train([run])
        return run.finish(started)
