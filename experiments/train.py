"""Trains a translation model.

    python -m experiments.train --config=configs/quickstart.py --workdir=runs/quickstart

Settings are overridden one by one (--config.model.heads=4). The same command again continues a run that was cut off. At
the end the test split is translated and scored, and one sentence's attention is drawn in the workdir.

SIGTERM or Ctrl-C: the run is saved, and ends with status 143 or 130 within 25 seconds; a second one ends it at once.
Status 2: a mistake in a flag, a setting, a file or the folder. Status 1: training failed, and one line says why.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from absl import flags
from ml_collections import config_flags

from experiments import command, devices, hosts
from experiments.interrupt import Interrupts
from experiments.workdir import Workdir
from transformer.spec import Spec

if TYPE_CHECKING:
    from experiments.run import Run


class Flags(NamedTuple):
    """What the command takes."""

    config: flags.FlagHolder
    workdir: flags.FlagHolder
    allow: flags.FlagHolder
    init_from: flags.FlagHolder


def define() -> Flags:
    """Defines the flags."""
    return Flags(
        config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT"),
        flags.DEFINE_string("workdir", None, "folder of the run, made if it does not exist"),
        flags.DEFINE_list("allow_config_change", [], "settings that may differ from those the run in it began with"),
        flags.DEFINE_string("init_from", None, "folder of a Marian model to begin from; sets config.train.init_from"),
    )


def main(given: Flags) -> None:
    """Trains, and scores the test split."""
    if not given.config.value or not given.workdir.value:
        command.refuse("--config and --workdir are needed: --config=configs/quickstart.py --workdir=runs/quickstart")
    begun = time.monotonic()
    with command.failures(), contextlib.ExitStack() as held:
        interrupts = held.enter_context(Interrupts())
        with command.mistakes():
            if given.init_from.value:
                given.config.value.train.init_from = given.init_from.value
            spec = Spec.from_config(given.config.value)
            devices.prepare(spec.parallel.cpu_devices)
            hosts.join(spec.parallel.distributed)
            if hosts.several():
                interrupts.among_others(hosts.notified)
            if hosts.leader():
                held.enter_context(Workdir(given.workdir.value).held())
            run = begin(spec, given.workdir.value, given.allow.value, interrupts=interrupts)
        run.train()
        run.finish(begun)


def begin(
    spec: Spec, path: str, allowed: Sequence[str] = (), name: str = "", interrupts: Interrupts | None = None
) -> "Run":
    """The run of `spec` in the folder `path`, once devices are set up; raises what `experiments.run.Run` raises."""
    devices.prepare(spec.parallel.cpu_devices)
    from experiments.run import Run

    return Run(spec, path, allowed, time.monotonic, name, interrupts)


def train(spec: Spec, path: str, allowed: Sequence[str] = ()) -> dict[str, float]:
    """Trains `spec` in the folder `path`, continuing a run that is there; returns the test scores."""
    begun = time.monotonic()
    with Workdir(path).held():
        run = begin(spec, path, allowed)
        run.train()
        return run.finish(begun)


if __name__ == "__main__":
    command.run(define, main)
