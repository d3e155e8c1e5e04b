"""Trains on TPUs of a GKE cluster, through xpk.

    python -m launch.gke run    --name=N --cluster=C --zone=Z --accelerator=v5litepod-16 --config=FILE --workdir=/runs/D
    python -m launch.gke list   --cluster=C --zone=Z
    python -m launch.gke delete --name=N --cluster=C --zone=Z

--dry_run prints every xpk line and runs none. xpk is a tool of its own (pip install xpk); it puts the repository into
an image, and Kubernetes starts it anew when hosts are taken away. launch/gke.md goes through it from nothing.
"""

import shlex

from absl import flags
from ml_collections import config_flags

from experiments.runtime import cli
from launch import command_line
from launch.shell import Shell
from launch.tpu_vm import PYTHON, Accelerator


def define() -> None:
    """Defines the flags."""
    text = flags.DEFINE_string
    text("name", None, "of the workload")
    text("cluster", None, "made by `xpk cluster create`")
    text("zone", None, "where it is")
    text("project", None, "who pays; default: gcloud's own setting")
    text("accelerator", None, "what the cluster has, such as v5litepod-16")
    text("image", f"python:{PYTHON}", "what the code is put on; it needs Python 3.11 or newer")
    flags.DEFINE_integer("restarts", 20, "how often the run may be continued after hosts were taken away", 0)
    config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT")
    text("workdir", None, "folder of the run, on storage that is attached to the cluster")
    flags.DEFINE_bool("dry_run", False, "print every xpk line, and run none")


def workload(args: cli.Args) -> list[str]:
    """The xpk line that starts training.

    Raises:
      ValueError: a config, accelerator or workdir that would not do.
    """
    workdir, accelerator = args.workdir, Accelerator.parse(args.accelerator)
    command_line.check_workdir(workdir)
    if not workdir.startswith("/"):
        raise ValueError(f"--workdir={workdir}: a container's disk is lost with it; give a path in attached storage")
    config = command_line.config_arguments(args.config, copied=True)
    joined = accelerator.several_hosts and not command_line.sets(config, "parallel.distributed")
    train = command_line.train("python", config, workdir, *(["--config.parallel.distributed=on"] if joined else []))
    return [
        *_line(args, "create"),
        f"--tpu-type={accelerator}",
        f"--base-docker-image={args.image}",
        f"--script-dir={command_line.ROOT}",
        f"--max-restarts={args.restarts}",
        "--restart-on-exit-codes=143",  # saved and ended on a signal; the same command goes on from there
        # exec: a signal to the shell must reach what it starts
        f"--command={command_line.after_others(workdir)}; pip install --quiet -e '.[tpu]' && exec {shlex.join(train)}",
    ]


def _line(args: cli.Args, verb: str) -> list[str]:
    where = [f"--cluster={args.cluster}", f"--zone={args.zone}"]
    where += [f"--project={args.project}"] if args.project else []
    named = [f"--workload={args.name}"] if verb != "list" else []
    return ["xpk", "workload", verb, *where, *named]


NEEDED = {"run": ("name", "accelerator", "config", "workdir"), "list": (), "delete": ("name",)}


def main(what: str, args: cli.Args) -> None:
    """Does what the subcommand says."""
    with cli.failures(), cli.mistakes():
        command_line.need(args, ("cluster", "zone", *NEEDED[what]), what)
        line = workload(args) if what == "run" else _line(args, what)
        Shell(args.dry_run).run(*line)


if __name__ == "__main__":
    chosen = command_line.subcommand(tuple(NEEDED))
    cli.run(define, lambda args: main(chosen, args))
