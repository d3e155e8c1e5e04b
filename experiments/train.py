"""Trains a translation model, then translates and scores the test split.

    python -m experiments.train --config=configs/quickstart.py --workdir=runs/quickstart

Any setting can be overridden: --config.model.heads=4. The same command continues an interrupted run. At the end the
attention of one sentence is drawn.

SIGTERM or Ctrl-C saves the run, which exits with status 143 or 130 within 25 seconds; a second signal exits at once.
Status 2: an error in a flag, a setting, a file or the folder. Status 1: training failed; one line gives the reason.
"""

import contextlib
import re
import time

from absl import flags

from experiments.runs import execute
from experiments.runs.workdir import Workdir
from experiments.runtime import cli, config_files, distributed, xla_env
from experiments.runtime.signals import Interrupts
from transformer.spec import Spec


def define() -> None:
    """Defines the flags."""
    config_files.define_config_flag("config file")
    flags.DEFINE_string("workdir", None, "folder of the run, created if missing")
    flags.DEFINE_float("wait_for_lock", 0.0, "seconds to wait while another process trains in the folder", 0.0)
    flags.DEFINE_list("allow_config_change", [], "settings that may differ from those of the run in the folder")
    flags.DEFINE_string("profile", None, "FROM:TO, updates to trace for XProf into WORKDIR/profile")
    flags.DEFINE_string(
        "init_from", None, "folder of a Marian model to start from, or hf:USER/NAME; sets train.init_from"
    )


def _updates(profile: str | None, steps: int) -> range:
    """Returns the updates of --profile=FROM:TO, both inclusive; none without the flag."""
    if profile is None:
        return range(0)
    match = re.fullmatch(r"(\d+):(\d+)", profile)
    if not match:
        raise ValueError(f"--profile: {profile!r} is not FROM:TO, the first and the last update, such as 20:24")
    first, last = map(int, match.groups())
    if not 1 <= first <= last <= steps:
        raise ValueError(f"--profile: {profile} is not 1 ≤ FROM ≤ TO ≤ train.steps={steps}")
    return range(first, last + 1)


def main(args: cli.Args) -> None:
    """Trains, and scores the test split."""
    if not args.config or not args.workdir:
        cli.exit_with_error(
            "--config and --workdir are needed: --config=configs/quickstart.py --workdir=runs/quickstart"
        )
    start = time.monotonic()
    with cli.runtime_errors(), contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        with cli.user_errors():
            if args.init_from:
                args.config.train.init_from = args.init_from
            spec = Spec.from_config(args.config)
            profiled = _updates(args.profile, spec.train.steps)
            xla_env.prepare_for(spec.parallel)
            distributed.initialize(spec.parallel.distributed)
            if distributed.is_distributed():
                interrupts.coordinate(distributed.preemption_at)
            if distributed.is_primary():
                stack.enter_context(Workdir(args.workdir).locked(args.wait_for_lock))
            run = execute.open_run(spec, args.workdir, args.allow_config_change, interrupts=interrupts, start=start)
        from experiments.runs import trainer

        trainer.train([run], profiled)
        run.finish()


if __name__ == "__main__":
    cli.run(define, main, resumes=True)
