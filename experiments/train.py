"""Trains a translation model.

    python -m experiments.train --config=configs/quickstart.py --workdir=runs/quickstart

Settings are overridden one by one (--config.model.heads=4). The same command again continues a run that was cut off. At
the end the test split is translated and scored, and one sentence's attention is drawn in the workdir.

SIGTERM or Ctrl-C: the run is saved, and ends with status 143 or 130 within 25 seconds; a second one ends it at once.
Status 2: a mistake in a flag, a setting, a file or the folder. Status 1: training failed, and one line says why.
"""

import contextlib
import time

from absl import flags
from ml_collections import config_flags

from experiments.runs import execute
from experiments.runs.workdir import Workdir
from experiments.runtime import cli, distributed, xla_env
from experiments.runtime.signals import Interrupts
from transformer.spec import Spec


def define() -> None:
    """Defines the flags."""
    config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT")
    flags.DEFINE_string("workdir", None, "folder of the run, made if it does not exist")
    flags.DEFINE_list("allow_config_change", [], "settings that may differ from those the run in it began with")
    flags.DEFINE_string("init_from", None, "folder of a Marian model to begin from; sets config.train.init_from")


def main(args: cli.Args) -> None:
    """Trains, and scores the test split."""
    if not args.config or not args.workdir:
        cli.refuse("--config and --workdir are needed: --config=configs/quickstart.py --workdir=runs/quickstart")
    begun = time.monotonic()
    with cli.failures(), contextlib.ExitStack() as held:
        interrupts = held.enter_context(Interrupts())
        with cli.mistakes():
            if args.init_from:
                args.config.train.init_from = args.init_from
            spec = Spec.from_config(args.config)
            xla_env.prepare(spec.parallel.cpu_devices)
            distributed.join(spec.parallel.distributed)
            if distributed.several():
                interrupts.among_others(distributed.notified)
            if distributed.leader():
                held.enter_context(Workdir(args.workdir).held())
            run = execute.open_run(spec, args.workdir, args.allow_config_change, interrupts=interrupts)
        from experiments.runs import trainer

        trainer.train([run])
        run.finish(begun)


if __name__ == "__main__":
    cli.run(define, main)
