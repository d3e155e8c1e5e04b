"""Trains on a Cloud TPU slice.

    python -m launch.tpu create --name=N --zone=Z --accelerator=v5litepod-16 [--spot --queued]
    python -m launch.tpu setup  --name=N --zone=Z [--prepare='sudo mount ...']
    python -m launch.tpu run    --name=N --zone=Z --accelerator=v5litepod-16 --config=FILE --workdir=/runs/D [--restart]
    python -m launch.tpu logs   --name=N --zone=Z [--worker=0 --follow]
    python -m launch.tpu fetch  --name=N --zone=Z --workdir=/runs/D [--to=runs]
    python -m launch.tpu delete --name=N --zone=Z

--dry_run prints every gcloud line and runs none. `run` returns once training has begun; with --restart it stays, and
when the slice is taken away it makes a new one, on which the run continues. A slice costs money until it is deleted.
launch/tpu.md goes through it from nothing.
"""

import shlex
from collections.abc import Callable
from typing import NamedTuple

from absl import flags
from ml_collections import config_flags

from experiments import command
from launch import job
from launch.shell import Shell
from launch.slice import Accelerator, Slice
from launch.watch import wait, watch


class Flags(NamedTuple):
    """What the command takes."""

    name: flags.FlagHolder
    zone: flags.FlagHolder
    project: flags.FlagHolder
    accelerator: flags.FlagHolder
    runtime_version: flags.FlagHolder
    spot: flags.FlagHolder
    queued: flags.FlagHolder
    prepare: flags.FlagHolder
    config: flags.FlagHolder
    workdir: flags.FlagHolder
    restart: flags.FlagHolder
    poll: flags.FlagHolder
    delete_at_end: flags.FlagHolder
    worker: flags.FlagHolder
    lines: flags.FlagHolder
    follow: flags.FlagHolder
    to: flags.FlagHolder
    dry_run: flags.FlagHolder


def define() -> Flags:
    """Defines the flags."""
    text, yes = flags.DEFINE_string, flags.DEFINE_bool
    return Flags(
        text("name", None, "of the slice"),
        text("zone", None, "where it is, such as us-west4-a"),
        text("project", None, "who pays; default: gcloud's own setting"),
        text("accelerator", None, "what to ask for, such as v5litepod-16, v6e-8 or v4-32"),
        text("runtime_version", None, "the hosts' image; default: the one for JAX on this accelerator"),
        yes("spot", False, "cheaper, and may be taken away at any time"),
        yes("queued", False, "a queued resource: wait in line until there is one; give it to every subcommand"),
        text("prepare", "", "setup: a line for each host's shell before the code is installed; to mount the workdir"),
        config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT"),
        text("workdir", None, "folder of the run on the hosts; on storage that they share and that outlives them"),
        yes("restart", False, "run: stay, and go on with the run on a new slice when this one is taken away"),
        flags.DEFINE_float("poll", 30.0, "seconds between two looks at the slice", 0.0),
        yes("delete_at_end", False, "run --restart: delete the slice when training has ended, well or not"),
        text("worker", "0", "logs: of which host"),
        flags.DEFINE_integer("lines", 50, "logs: how many", 1),
        yes("follow", False, "logs: go on showing what is added"),
        text("to", "runs", "fetch: into which folder here"),
        yes("dry_run", False, "print every gcloud line, and run none"),
    )


def create(given: Flags, tpu: Slice) -> None:
    """Asks for a slice."""
    tpu.create()
    chips = Accelerator.parse(given.accelerator.value).chips
    tpu.shell.say(f"{tpu.name}: {chips} chips, which cost money from when they are there until `delete`")


def setup(given: Flags, tpu: Slice) -> None:
    """Copies and installs the code, once the slice is there."""
    wait(tpu, given.poll.value)
    tpu.setup(given.prepare.value)


def run(given: Flags, tpu: Slice) -> None:
    """Starts training on all hosts; with --restart, sees it to its end."""
    line = _training(given)
    if not given.restart.value:
        tpu.start(line)
        tpu.shell.say(f"{tpu.name}: training; `logs` shows how it goes, `delete` ends it and its cost")
    elif tpu.shell.dry_run:
        _show_restart(given, tpu, lambda: tpu.start(line))
    else:
        watch(tpu, lambda: tpu.start(line), given.prepare.value, given.poll.value, given.delete_at_end.value)


def logs(given: Flags, tpu: Slice) -> None:
    """Shows the end of one host's log."""
    tpu.logs(given.worker.value, given.lines.value, given.follow.value)


def fetch(given: Flags, tpu: Slice) -> None:
    """Copies the workdir here."""
    job.check_workdir(given.workdir.value)
    tpu.fetch(given.workdir.value, given.to.value)


def delete(given: Flags, tpu: Slice) -> None:
    """Deletes the slice."""
    tpu.delete()


SUBCOMMANDS: dict[str, tuple[Callable[[Flags, Slice], None], tuple[str, ...]]] = {
    "create": (create, ("accelerator",)),
    "setup": (setup, ()),
    "run": (run, ("accelerator", "config", "workdir")),
    "logs": (logs, ()),
    "fetch": (fetch, ("workdir",)),
    "delete": (delete, ()),
}


def _training(given: Flags) -> str:
    """What each host's shell does.

    Raises:
      ValueError: a config or workdir that would not do.
    """
    workdir, accelerator = given.workdir.value, Accelerator.parse(given.accelerator.value)
    job.check_workdir(workdir)
    if (accelerator.several_hosts or given.restart.value) and not workdir.startswith("/"):
        why = "several hosts share it" if accelerator.several_hosts else "it must outlive the slice"
        raise ValueError(f"--workdir={workdir}: {why}; give the absolute path of a mounted bucket or file share")
    config = job.config_arguments(given.config, copied=True)
    # Cloud TPU's own description of the slice tells its processes how to find each other.
    joined = accelerator.several_hosts and not job.sets(config, "parallel.distributed")
    more = ["--config.parallel.distributed=on"] if joined else []
    return f"{job.after_others(workdir)}; {shlex.join(job.train('.venv/bin/python', config, workdir, *more))}"


def _show_restart(given: Flags, tpu: Slice, start: Callable[[], None]) -> None:
    tpu.shell.say("unless it is running already:")
    start()
    tpu.shell.say(f"every {given.poll.value:.0f} seconds:")
    tpu.state()
    tpu.statuses()
    tpu.shell.say("when the slice has been taken away:")
    tpu.delete()
    tpu.create()
    tpu.setup(given.prepare.value)
    start()
    if given.delete_at_end.value:
        tpu.shell.say("when training has ended:")
        tpu.delete()


def main(what: str, given: Flags) -> None:
    """Does what the subcommand says."""
    act, needed = SUBCOMMANDS[what]
    with command.failures(), command.mistakes():
        job.need(given, ("name", "zone", *needed), what)
        accelerator = Accelerator.parse(given.accelerator.value) if given.accelerator.value else None
        runtime = given.runtime_version.value or ""
        if accelerator and not runtime and (what == "create" or given.restart.value):
            runtime = accelerator.runtime()
        where = [f"--zone={given.zone.value}"] + ([f"--project={given.project.value}"] if given.project.value else [])
        shell = Shell(given.dry_run.value)
        act(given, Slice(shell, given.name.value, where, accelerator, runtime, given.spot.value, given.queued.value))


if __name__ == "__main__":
    chosen = job.subcommand(tuple(SUBCOMMANDS))
    command.run(define, lambda given: main(chosen, given))
