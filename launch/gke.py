"""Trains on TPUs of a GKE cluster, through xpk.

    python -m launch.gke run    --name=N --cluster=C --zone=Z --accelerator=v5litepod-16 --config=FILE --workdir=/runs/D
    python -m launch.gke list   --cluster=C --zone=Z
    python -m launch.gke delete --name=N --cluster=C --zone=Z

--dry_run prints every xpk line and runs none. xpk is a tool of its own (pip install xpk); it puts the repository into
an image, and Kubernetes starts it anew when hosts are taken away. launch/gke.md goes through it from nothing.
"""

import shlex
from typing import NamedTuple

from absl import flags
from ml_collections import config_flags

from experiments import command
from launch import job
from launch.shell import Shell
from launch.slice import PYTHON, Accelerator


class Flags(NamedTuple):
    """What the command takes."""

    name: flags.FlagHolder
    cluster: flags.FlagHolder
    zone: flags.FlagHolder
    project: flags.FlagHolder
    accelerator: flags.FlagHolder
    image: flags.FlagHolder
    restarts: flags.FlagHolder
    config: flags.FlagHolder
    workdir: flags.FlagHolder
    dry_run: flags.FlagHolder


def define() -> Flags:
    """Defines the flags."""
    text = flags.DEFINE_string
    return Flags(
        text("name", None, "of the workload"),
        text("cluster", None, "made by `xpk cluster create`"),
        text("zone", None, "where it is"),
        text("project", None, "who pays; default: gcloud's own setting"),
        text("accelerator", None, "what the cluster has, such as v5litepod-16"),
        text("image", f"python:{PYTHON}", "what the code is put on; it needs Python 3.11 or newer"),
        flags.DEFINE_integer("restarts", 20, "how often the run may be continued after hosts were taken away", 0),
        config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT"),
        text("workdir", None, "folder of the run, on storage that is attached to the cluster"),
        flags.DEFINE_bool("dry_run", False, "print every xpk line, and run none"),
    )


def workload(given: Flags) -> list[str]:
    """The xpk line that starts training.

    Raises:
      ValueError: a config, accelerator or workdir that would not do.
    """
    workdir, accelerator = given.workdir.value, Accelerator.parse(given.accelerator.value)
    job.check_workdir(workdir)
    if not workdir.startswith("/"):
        raise ValueError(f"--workdir={workdir}: a container's disk is lost with it; give a path in attached storage")
    config = job.config_arguments(given.config, copied=True)
    joined = accelerator.several_hosts and not job.sets(config, "parallel.distributed")
    train = job.train("python", config, workdir, *(["--config.parallel.distributed=on"] if joined else []))
    return [
        *_line(given, "create"),
        f"--tpu-type={accelerator}",
        f"--base-docker-image={given.image.value}",
        f"--script-dir={job.ROOT}",
        f"--max-restarts={given.restarts.value}",
        "--restart-on-exit-codes=143",  # saved and ended on a signal; the same command goes on from there
        # exec: a signal to the shell must reach what it starts
        f"--command={job.after_others(workdir)}; pip install --quiet -e '.[tpu]' && exec {shlex.join(train)}",
    ]


def _line(given: Flags, verb: str) -> list[str]:
    where = [f"--cluster={given.cluster.value}", f"--zone={given.zone.value}"]
    where += [f"--project={given.project.value}"] if given.project.value else []
    named = [f"--workload={given.name.value}"] if verb != "list" else []
    return ["xpk", "workload", verb, *where, *named]


NEEDED = {"run": ("name", "accelerator", "config", "workdir"), "list": (), "delete": ("name",)}


def main(what: str, given: Flags) -> None:
    """Does what the subcommand says."""
    with command.failures(), command.mistakes():
        job.need(given, ("cluster", "zone", *NEEDED[what]), what)
        line = workload(given) if what == "run" else _line(given, what)
        Shell(given.dry_run.value).run(*line)


if __name__ == "__main__":
    chosen = job.subcommand(tuple(NEEDED))
    command.run(define, lambda given: main(chosen, given))
