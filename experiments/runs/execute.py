"""Opens and executes runs; prepares the devices before JAX is imported.

Commands and sweeps import this module at the top, and through it everything that imports JAX.
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
    spec: Spec,
    path: str,
    allowed: Sequence[str] = (),
    name: str = "",
    interrupts: Interrupts | None = None,
    start: float | None = None,
) -> "Run":
    """Prepares the devices and opens the run of `spec` in the folder `path`.

    Arguments and errors are those of `experiments.runs.run.Run.open`; `start` is by `time.monotonic`.
    """
    start = time.monotonic() if start is None else start
    xla_env.prepare_for(spec.parallel)
    from experiments.runs.run import Run

    return Run.open(spec, path, allowed, time.monotonic, name, interrupts, start)


def train_and_test(spec: Spec, path: str, allowed: Sequence[str] = ()) -> dict[str, float]:
    """Trains `spec` in the folder `path`, or continues the run in it; returns the test scores."""
    with Workdir(path).locked():
        run = open_run(spec, path, allowed)
        from experiments.runs import trainer

        trainer.train([run])
        return run.finish()
