"""Trains on a Cloud TPU slice.

    python -m launch.tpu create --name=N --zone=Z --accelerator=v5litepod-16 [--spot --queued]
    python -m launch.tpu setup  --name=N --zone=Z [--prepare='sudo mount ...']
    python -m launch.tpu run    --name=N --zone=Z --accelerator=v5litepod-16 --config=FILE --workdir=gs://B/D
                                [--restart]
    python -m launch.tpu logs   --name=N --zone=Z [--worker=0 --follow]
    python -m launch.tpu fetch  --name=N --zone=Z --workdir=gs://B/D [--to=runs]
    python -m launch.tpu delete --name=N --zone=Z

--dry_run prints the gcloud command lines and runs none. `run` returns once training has started; with --restart it
keeps running, and when the slice is preempted it creates a new one and resumes the run. A slice costs money until it
is deleted. See launch/tpu.md.
"""

import shlex
from collections.abc import Callable

from absl import flags

from experiments.runtime import cli, config_files
from launch import command_line
from launch.shell import Shell
from launch.supervisor import supervise, wait_until_ready
from launch.tpu_vm import Accelerator, TpuVm
from transformer import storage

# Subcommand → flags that it needs in addition to --name and --zone.
REQUIRED = {
    "create": ("accelerator",), "setup": (), "run": ("accelerator", "config", "workdir"), "logs": (),
    "fetch": ("workdir",), "delete": (),
}  # fmt: skip


def define() -> None:
    """Defines the flags."""
    string, boolean = flags.DEFINE_string, flags.DEFINE_bool
    string("name", None, "name of the slice")
    string("zone", None, "zone of the slice, such as us-west4-a")
    string("project", None, "billing project; default: gcloud's configured project")
    string("accelerator", None, "accelerator type, such as v5litepod-16, v6e-8 or v4-32")
    string("runtime_version", None, "image of the hosts; default: the image for JAX on this accelerator")
    boolean("spot", False, "request a spot slice: cheaper, and may be preempted at any time")
    boolean("queued", False, "request a queued resource, which waits for capacity; give it to every subcommand")
    string("prepare", "", "setup: shell line to run on each host before the code is installed, to mount the workdir")
    config_files.define_config_flag("config of the run")
    string("workdir", None, "folder of the run, in a bucket, or on storage that the hosts share and that outlives them")
    boolean("restart", False, "run: keep running, and resume the run on a new slice when this one is preempted")
    flags.DEFINE_float("poll", 30.0, "seconds between two polls of the slice", 0.0)
    boolean("delete_at_end", False, "run --restart: delete the slice when training stops, also after a failure")
    string("worker", "0", "logs: index of the host")
    flags.DEFINE_integer("lines", 50, "logs: number of lines", 1)
    boolean("follow", False, "logs: print new lines as they are written")
    string("to", "runs", "fetch: local folder to copy into")
    boolean("dry_run", False, "print the gcloud command lines and run none")


def _training_line(args: cli.Args) -> str:
    """Returns the shell line that each host runs.

    Raises:
      ValueError: an invalid config or workdir.
    """
    workdir, accelerator = args.workdir, Accelerator.parse(args.accelerator)
    storage.check_url(workdir)
    if accelerator.multi_host or args.restart:
        why = "several hosts share it" if accelerator.multi_host else "it must outlive the slice"
        command_line.check_shared_workdir(workdir, why)
    config = command_line.config_arguments(args.config, copied=True)
    # JAX finds the other processes through the metadata that Cloud TPU gives each host.
    train = command_line.train_command(".venv/bin/python", config, workdir, distributed=accelerator.multi_host)
    return shlex.join(train)


def _print_supervision(args: cli.Args, tpu: TpuVm, start: Callable[[], None]) -> None:
    tpu.shell.report("unless the run is already in progress:")
    start()
    tpu.shell.report(f"every {args.poll:.0f} seconds:")
    tpu.state()
    tpu.statuses()
    tpu.shell.report("after a preemption:")
    tpu.delete()
    tpu.create()
    tpu.setup(args.prepare)
    start()
    if args.delete_at_end:
        tpu.shell.report("when training stops:")
        tpu.delete()


def _run(args: cli.Args, tpu: TpuVm) -> None:
    """Starts training on all hosts; with --restart, supervises it until it finishes."""
    line = _training_line(args)
    if not args.restart:
        tpu.start(line)
        tpu.shell.report(f"{tpu.name}: training started; `logs` shows its progress, `delete` stops it and its cost")
    elif tpu.shell.dry_run:
        _print_supervision(args, tpu, lambda: tpu.start(line))
    else:
        supervise(tpu, lambda: tpu.start(line), args.prepare, args.poll, args.delete_at_end)


def _execute(subcommand: str, args: cli.Args, tpu: TpuVm) -> None:
    """Runs a subcommand on a slice."""
    match subcommand:
        case "create":
            tpu.create()
            chips = Accelerator.parse(args.accelerator).chips
            tpu.shell.report(f"{tpu.name}: {chips} chips, which cost money from when they are ready until `delete`")
        case "setup":
            wait_until_ready(tpu, args.poll)
            tpu.setup(args.prepare)
        case "run":
            _run(args, tpu)
        case "logs":
            tpu.logs(args.worker, args.lines, args.follow)
        case "fetch":
            tpu.fetch(args.workdir, args.to)
        case "delete":
            tpu.delete()


def main(subcommand: str, args: cli.Args) -> None:
    """Runs a subcommand."""
    with cli.runtime_errors(), cli.user_errors():
        command_line.require_flags(args, ("name", "zone", *REQUIRED[subcommand]), subcommand)
        accelerator = Accelerator.parse(args.accelerator) if args.accelerator else None
        runtime = args.runtime_version or ""
        if accelerator and not runtime and (subcommand == "create" or args.restart):
            runtime = accelerator.runtime_version()
        location = [f"--zone={args.zone}"] + ([f"--project={args.project}"] if args.project else [])
        tpu = TpuVm(Shell(args.dry_run), args.name, location, accelerator, runtime, args.spot, args.queued)
        _execute(subcommand, args, tpu)


if __name__ == "__main__":
    chosen = command_line.pop_subcommand(tuple(REQUIRED))
    cli.run(define, lambda args: main(chosen, args))
