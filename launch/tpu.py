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

from absl import flags
from ml_collections import config_flags

from experiments.runtime import cli
from launch import command_line
from launch.shell import Shell
from launch.supervisor import wait, watch
from launch.tpu_vm import Accelerator, Slice


def define() -> None:
    """Defines the flags."""
    text, yes = flags.DEFINE_string, flags.DEFINE_bool
    text("name", None, "of the slice")
    text("zone", None, "where it is, such as us-west4-a")
    text("project", None, "who pays; default: gcloud's own setting")
    text("accelerator", None, "what to ask for, such as v5litepod-16, v6e-8 or v4-32")
    text("runtime_version", None, "the hosts' image; default: the one for JAX on this accelerator")
    yes("spot", False, "cheaper, and may be taken away at any time")
    yes("queued", False, "a queued resource: wait in line until there is one; give it to every subcommand")
    text("prepare", "", "setup: a line for each host's shell before the code is installed; to mount the workdir")
    config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT")
    text("workdir", None, "folder of the run on the hosts; on storage that they share and that outlives them")
    yes("restart", False, "run: stay, and go on with the run on a new slice when this one is taken away")
    flags.DEFINE_float("poll", 30.0, "seconds between two looks at the slice", 0.0)
    yes("delete_at_end", False, "run --restart: delete the slice when training has ended, well or not")
    text("worker", "0", "logs: of which host")
    flags.DEFINE_integer("lines", 50, "logs: how many", 1)
    yes("follow", False, "logs: go on showing what is added")
    text("to", "runs", "fetch: into which folder here")
    yes("dry_run", False, "print every gcloud line, and run none")


def create(args: cli.Args, tpu: Slice) -> None:
    """Asks for a slice."""
    tpu.create()
    chips = Accelerator.parse(args.accelerator).chips
    tpu.shell.say(f"{tpu.name}: {chips} chips, which cost money from when they are there until `delete`")


def setup(args: cli.Args, tpu: Slice) -> None:
    """Copies and installs the code, once the slice is there."""
    wait(tpu, args.poll)
    tpu.setup(args.prepare)


def run(args: cli.Args, tpu: Slice) -> None:
    """Starts training on all hosts; with --restart, sees it to its end."""
    line = _training(args)
    if not args.restart:
        tpu.start(line)
        tpu.shell.say(f"{tpu.name}: training; `logs` shows how it goes, `delete` ends it and its cost")
    elif tpu.shell.dry_run:
        _show_restart(args, tpu, lambda: tpu.start(line))
    else:
        watch(tpu, lambda: tpu.start(line), args.prepare, args.poll, args.delete_at_end)


def logs(args: cli.Args, tpu: Slice) -> None:
    """Shows the end of one host's log."""
    tpu.logs(args.worker, args.lines, args.follow)


def fetch(args: cli.Args, tpu: Slice) -> None:
    """Copies the workdir here."""
    command_line.check_workdir(args.workdir)
    tpu.fetch(args.workdir, args.to)


def delete(args: cli.Args, tpu: Slice) -> None:
    """Deletes the slice."""
    tpu.delete()


SUBCOMMANDS: dict[str, tuple[Callable[[cli.Args, Slice], None], tuple[str, ...]]] = {
    "create": (create, ("accelerator",)),
    "setup": (setup, ()),
    "run": (run, ("accelerator", "config", "workdir")),
    "logs": (logs, ()),
    "fetch": (fetch, ("workdir",)),
    "delete": (delete, ()),
}


def _training(args: cli.Args) -> str:
    """What each host's shell does.

    Raises:
      ValueError: a config or workdir that would not do.
    """
    workdir, accelerator = args.workdir, Accelerator.parse(args.accelerator)
    command_line.check_workdir(workdir)
    if (accelerator.several_hosts or args.restart) and not workdir.startswith("/"):
        why = "several hosts share it" if accelerator.several_hosts else "it must outlive the slice"
        raise ValueError(f"--workdir={workdir}: {why}; give the absolute path of a mounted bucket or file share")
    config = command_line.config_arguments(args.config, copied=True)
    # Cloud TPU's own description of the slice tells its processes how to find each other.
    joined = accelerator.several_hosts and not command_line.sets(config, "parallel.distributed")
    more = ["--config.parallel.distributed=on"] if joined else []
    return f"{command_line.after_others(workdir)}; {shlex.join(command_line.train('.venv/bin/python', config, workdir, *more))}"


def _show_restart(args: cli.Args, tpu: Slice, start: Callable[[], None]) -> None:
    tpu.shell.say("unless it is running already:")
    start()
    tpu.shell.say(f"every {args.poll:.0f} seconds:")
    tpu.state()
    tpu.statuses()
    tpu.shell.say("when the slice has been taken away:")
    tpu.delete()
    tpu.create()
    tpu.setup(args.prepare)
    start()
    if args.delete_at_end:
        tpu.shell.say("when training has ended:")
        tpu.delete()


def main(what: str, args: cli.Args) -> None:
    """Does what the subcommand says."""
    act, needed = SUBCOMMANDS[what]
    with cli.failures(), cli.mistakes():
        command_line.need(args, ("name", "zone", *needed), what)
        accelerator = Accelerator.parse(args.accelerator) if args.accelerator else None
        runtime = args.runtime_version or ""
        if accelerator and not runtime and (what == "create" or args.restart):
            runtime = accelerator.runtime()
        where = [f"--zone={args.zone}"] + ([f"--project={args.project}"] if args.project else [])
        shell = Shell(args.dry_run)
        act(args, Slice(shell, args.name, where, accelerator, runtime, args.spot, args.queued))


if __name__ == "__main__":
    chosen = command_line.subcommand(tuple(SUBCOMMANDS))
    cli.run(define, lambda args: main(chosen, args))
