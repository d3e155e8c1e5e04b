"""Trains under SLURM: one run as a job, or a sweep as an array of jobs.

    python -m launch.slurm train --config=FILE --workdir=D [--nodes=4 --gpus=8 --partition=P --time=12:00:00]
    python -m launch.slurm sweep --config=FILE --sweep=FILE --workdir=D --tasks=4

It writes a batch script to D.slurm, where logs go, too, and submits it; --dry_run prints both and does neither. Each
task of a sweep's array takes cells that nobody works on. A job that is preempted, or comes to the end of its time,
saves and is queued again.
launch/slurm.md goes through it from nothing.
"""

import pathlib
import re
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags
from ml_collections import config_flags

from experiments import command
from launch import job
from launch.shell import Shell

_PLAIN = re.compile(r"[A-Za-z0-9:./_%=,+@-]+")  # of an #SBATCH line's value, which no shell unquotes


class Flags(NamedTuple):
    """What the command takes."""

    config: flags.FlagHolder
    sweep: flags.FlagHolder
    workdir: flags.FlagHolder
    nodes: flags.FlagHolder
    gpus: flags.FlagHolder
    cpus: flags.FlagHolder
    memory: flags.FlagHolder
    time: flags.FlagHolder
    partition: flags.FlagHolder
    account: flags.FlagHolder
    tasks: flags.FlagHolder
    sweep_flags: flags.FlagHolder
    sbatch: flags.FlagHolder
    prepare: flags.FlagHolder
    dry_run: flags.FlagHolder


def define() -> Flags:
    """Defines the flags."""
    text, number = flags.DEFINE_string, flags.DEFINE_integer
    return Flags(
        config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT"),
        text("sweep", None, "sweep: its variants, FILE or FILE:ARGUMENT"),
        text("workdir", None, "folder of the run or sweep, which all nodes see"),
        number("nodes", 1, "train: hosts that share each batch", 1),
        number("gpus", 0, "GPUs of each node; 0: train on CPUs", 0),
        number("cpus", 8, "processor cores of each node", 1),
        text("memory", None, "of each node, such as 64G; default: the cluster's"),
        text("time", "12:00:00", "the longest a job may take; what is left then is queued again"),
        text("partition", None, "where; default: the cluster's"),
        text("account", None, "who pays; default: your own"),
        number("tasks", 4, "sweep: jobs that share the cells", 1),
        text("sweep_flags", "", "sweep: more flags of experiments.sweep, such as '--seeds=5 --population=off'"),
        flags.DEFINE_multi_string("sbatch", [], "another line for sbatch, such as --constraint=a100; may be repeated"),
        text("prepare", "", "a line for each job's shell before it starts, such as 'module load cuda'"),
        flags.DEFINE_bool("dry_run", False, "print the script and the line that would submit it"),
    )


def script(given: Flags, what: str) -> str:
    """The batch script.

    Raises:
      ValueError: a config, a folder or a value that would not do.
    """
    workdir = pathlib.Path(given.workdir.value).resolve()
    config = job.config_arguments(given.config, copied=False)
    if what == "train":
        line = job.train(sys.executable, config, str(workdir))
    else:
        more = [f"--sweep={_whole(given.sweep.value)}", f"--workdir={workdir}", *shlex.split(given.sweep_flags.value)]
        line = [sys.executable, "-m", "experiments.sweep", *config, *more]
    body = [
        f"cd {shlex.quote(str(job.ROOT))}",
        # Of the run, or of cells of the sweep, that a killed process held.
        f'if [ "${{SLURM_RESTART_COUNT:-0}}" -gt 0 ]; then sleep {job.HELD}; fi',
    ]
    gpus, several = given.gpus.value, what == "train" and given.nodes.value > 1
    if several and gpus:
        # JAX would take one GPU for each process, and there is one process on a node.
        body.append(f"export JAX_LOCAL_DEVICE_IDS={','.join(map(str, range(gpus)))}")
    body += [given.prepare.value] if given.prepare.value else []
    body += [
        "trap 'told=1' TERM",
        f"srun --cpus-per-task={given.cpus.value} {shlex.join(line)}",
        "status=$?",
        "# 143: saved and ended on a signal; the same command goes on. If this shell was told, too, the job was",
        "# cancelled, or preempted, after which SLURM queues it again by itself.",
        'if [ "$status" -eq 143 ] && [ -z "${told:-}" ]; then scontrol requeue "$SLURM_JOB_ID"; fi',
        'exit "$status"',
    ]
    return "\n".join(["#!/bin/bash", *_directives(given, what, workdir), "", *body, ""])


def _directives(given: Flags, what: str, workdir: pathlib.Path) -> list[str]:
    """The #SBATCH lines."""
    values = [
        f"--job-name={workdir.name}",
        f"--nodes={given.nodes.value if what == 'train' else 1}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={given.cpus.value}",
        f"--time={given.time.value}",
        f"--output={_beside(workdir)}/%{'A_%a' if what == 'sweep' else 'j'}.out",
        "--open-mode=append",  # a job that is queued again goes on in its own log
        "--requeue",
        # A minute before the end, the processes and not this shell are told: preemption tells them itself, and what is
        # told twice ends at once.
        "--signal=TERM@60",
    ]
    values += [f"--gpus-per-node={given.gpus.value}"] if given.gpus.value else []
    values += [f"--mem={given.memory.value}"] if given.memory.value else []
    values += [f"--partition={given.partition.value}"] if given.partition.value else []
    values += [f"--account={given.account.value}"] if given.account.value else []
    values += [f"--array=0-{given.tasks.value - 1}"] if what == "sweep" else []
    values += given.sbatch.value
    for value in values:
        if not value.startswith("--") or not _PLAIN.fullmatch(value):
            raise ValueError(f"#SBATCH {value}: not of the form --NAME=VALUE, without blanks and quotes")
    return [f"#SBATCH {value}" for value in values]


def _whole(argument: str) -> str:
    """FILE or FILE:ARGUMENT with the whole path of the file.

    Raises:
      FileNotFoundError: there is no such file.
    """
    path, colon, chosen = argument.partition(":")
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"--sweep: {path} does not exist")
    return f"{pathlib.Path(path).resolve()}{colon}{chosen}"


def _beside(workdir: pathlib.Path) -> pathlib.Path:
    """The folder of scripts and logs; not in the workdir, where a run begins only if it is empty."""
    return workdir.with_name(f"{workdir.name}.slurm")


def submit(shell: Shell, text: str, workdir: pathlib.Path, what: str) -> None:
    """Writes the script, and hands it to sbatch."""
    path = _beside(workdir) / f"{what}.sbatch"
    if shell.dry_run:
        print(text)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shell.run("sbatch", str(path))


def main(what: str, given: Flags) -> None:
    """Writes the script, and submits it."""
    with command.failures(), command.mistakes():
        needed: Sequence[str] = ("config", "workdir") if what == "train" else ("config", "sweep", "workdir")
        job.need(given, needed, what)
        job.check_workdir(given.workdir.value)
        text = script(given, what)
        submit(Shell(given.dry_run.value), text, pathlib.Path(given.workdir.value).resolve(), what)


if __name__ == "__main__":
    chosen = job.subcommand(("train", "sweep"))
    command.run(define, lambda given: main(chosen, given))
