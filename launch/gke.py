"""Trains on TPUs of a GKE cluster through xpk.

    python -m launch.gke run    --name=N --cluster=C --zone=Z --accelerator=v5litepod-16 --config=FILE --workdir=gs://B/D
    python -m launch.gke list   --cluster=C --zone=Z
    python -m launch.gke delete --name=N --cluster=C --zone=Z

--dry_run prints the xpk command lines and runs none. xpk is a separate tool (pip install xpk). It puts the repository
into an image, and Kubernetes restarts the run when hosts are preempted. See launch/gke.md.
"""

import shlex

from absl import flags

from experiments.runtime import cli, config_files
from launch import command_line
from launch.shell import Shell
from launch.tpu_vm import PYTHON, Accelerator

REQUIRED = {"run": ("name", "accelerator", "config", "workdir"), "list": (), "delete": ("name",)}


def define() -> None:
    """Defines the flags."""
    string = flags.DEFINE_string
    string("name", None, "name of the workload")
    string("cluster", None, "cluster that `xpk cluster create` made")
    string("zone", None, "zone of the cluster")
    string("project", None, "billing project; default: gcloud's configured project")
    string("accelerator", None, "accelerator type of the cluster, such as v5litepod-16")
    string("image", f"python:{PYTHON}", "base image, with Python 3.11 or newer")
    flags.DEFINE_integer("restarts", 20, "maximum number of restarts after a preemption", 0)
    config_files.define_config_flag("config of the run")
    string("workdir", None, "folder of the run, in a bucket, or on storage that is attached to the cluster")
    flags.DEFINE_bool("dry_run", False, "print the xpk command lines and run none")


def create_command(args: cli.Args) -> list[str]:
    """Returns the xpk command line that starts training.

    Raises:
      ValueError: an invalid config, accelerator or workdir.
    """
    workdir, accelerator = args.workdir, Accelerator.parse(args.accelerator)
    command_line.check_shared_workdir(workdir, "a container's disk is lost with it")
    config = command_line.config_arguments(args.config, copied=True)
    train = command_line.train_command("python", config, workdir, distributed=accelerator.multi_host)
    return [
        *_workload_command(args, "create"),
        f"--tpu-type={accelerator}",
        f"--base-docker-image={args.image}",
        f"--script-dir={command_line.ROOT}",
        f"--max-restarts={args.restarts}",
        "--restart-on-exit-codes=143",  # SIGTERM after saving; the same command resumes the run
        # exec: a signal to the shell must reach the training process.
        f"--command=pip install --quiet -e '.[tpu,gcs]' && exec {shlex.join(train)}",
    ]


def _workload_command(args: cli.Args, verb: str) -> list[str]:
    location = [f"--cluster={args.cluster}", f"--zone={args.zone}"]
    location += [f"--project={args.project}"] if args.project else []
    workload = [f"--workload={args.name}"] if verb != "list" else []
    return ["xpk", "workload", verb, *location, *workload]


def main(subcommand: str, args: cli.Args) -> None:
    """Runs a subcommand."""
    with cli.runtime_errors(), cli.user_errors():
        command_line.require_flags(args, ("cluster", "zone", *REQUIRED[subcommand]), subcommand)
        command = create_command(args) if subcommand == "run" else _workload_command(args, subcommand)
        Shell(args.dry_run).run(*command)


if __name__ == "__main__":
    chosen = command_line.pop_subcommand(tuple(REQUIRED))
    cli.run(define, lambda args: main(chosen, args))
