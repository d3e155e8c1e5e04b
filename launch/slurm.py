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

from absl import flags
from ml_collections import config_flags

from experiments.runtime import cli
from launch import command_line
from launch.shell import Shell

_PLAIN = re.compile(r"[A-Za-z0-9:./_%=,+@-]+")  # of an #SBATCH line's value, which no shell unquotes


def define() -> None:
    """Defines the flags."""
    text, number = flags.DEFINE_string, flags.DEFINE_integer
    config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT")
    text("sweep", None, "sweep: its variants, FILE or FILE:ARGUMENT")
    text("workdir", None, "folder of the run or sweep, which all nodes see")
    number("nodes", 1, "train: hosts that share each batch", 1)
    number("gpus", 0, "GPUs of each node; 0: train on CPUs", 0)
    number("cpus", 8, "processor cores of each node", 1)
    text("memory", None, "of each node, such as 64G; default: the cluster's")
    text("time", "12:00:00", "the longest a job may take; what is left then is queued again")
    text("partition", None, "where; default: the cluster's")
    text("account", None, "who pays; default: your own")
    number("tasks", 4, "sweep: jobs that share the cells", 1)
    text("sweep_flags", "", "sweep: more flags of experiments.sweep, such as '--seeds=5 --population=off'")
    flags.DEFINE_multi_string("sbatch", [], "another line for sbatch, such as --constraint=a100; may be repeated")
    text("prepare", "", "a line for each job's shell before it starts, such as 'module load cuda'")
    flags.DEFINE_bool("dry_run", False, "print the script and the line that would submit it")


def script(args: cli.Args, what: str) -> str:
    """The batch script.

    Raises:
      ValueError: a config, a folder or a value that would not do.
    """
    workdir = pathlib.Path(args.workdir).resolve()
    config = command_line.config_arguments(args.config, copied=False)
    if what == "train":
        line = command_line.train(sys.executable, config, str(workdir))
    else:
        more = [f"--sweep={_whole(args.sweep)}", f"--workdir={workdir}", *shlex.split(args.sweep_flags)]
        line = [sys.executable, "-m", "experiments.sweep", *config, *more]
    body = [
        f"cd {shlex.quote(str(command_line.ROOT))}",
        # Of the run, or of cells of the sweep, that a killed process held.
        f'if [ "${{SLURM_RESTART_COUNT:-0}}" -gt 0 ]; then sleep {command_line.HELD}; fi',
    ]
    gpus, several = args.gpus, what == "train" and args.nodes > 1
    if several and gpus:
        # JAX would take one GPU for each process, and there is one process on a node.
        body.append(f"export JAX_LOCAL_DEVICE_IDS={','.join(map(str, range(gpus)))}")
    body += [args.prepare] if args.prepare else []
    body += [
        "trap 'told=1' TERM",
        f"srun --cpus-per-task={args.cpus} {shlex.join(line)}",
        "status=$?",
        "# 143: saved and ended on a signal; the same command goes on. If this shell was told, too, the job was",
        "# cancelled, or preempted, after which SLURM queues it again by itself.",
        'if [ "$status" -eq 143 ] && [ -z "${told:-}" ]; then scontrol requeue "$SLURM_JOB_ID"; fi',
        'exit "$status"',
    ]
    return "\n".join(["#!/bin/bash", *_directives(args, what, workdir), "", *body, ""])


def _directives(args: cli.Args, what: str, workdir: pathlib.Path) -> list[str]:
    """The #SBATCH lines."""
    values = [
        f"--job-name={workdir.name}",
        f"--nodes={args.nodes if what == 'train' else 1}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={args.cpus}",
        f"--time={args.time}",
        f"--output={_beside(workdir)}/%{'A_%a' if what == 'sweep' else 'j'}.out",
        "--open-mode=append",  # a job that is queued again goes on in its own log
        "--requeue",
        # A minute before the end, the processes and not this shell are told: preemption tells them itself, and what is
        # told twice ends at once.
        "--signal=TERM@60",
    ]
    values += [f"--gpus-per-node={args.gpus}"] if args.gpus else []
    values += [f"--mem={args.memory}"] if args.memory else []
    values += [f"--partition={args.partition}"] if args.partition else []
    values += [f"--account={args.account}"] if args.account else []
    values += [f"--array=0-{args.tasks - 1}"] if what == "sweep" else []
    values += args.sbatch
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


def main(what: str, args: cli.Args) -> None:
    """Writes the script, and submits it."""
    with cli.failures(), cli.mistakes():
        needed: Sequence[str] = ("config", "workdir") if what == "train" else ("config", "sweep", "workdir")
        command_line.need(args, needed, what)
        command_line.check_workdir(args.workdir)
        text = script(args, what)
        submit(Shell(args.dry_run), text, pathlib.Path(args.workdir).resolve(), what)


if __name__ == "__main__":
    chosen = command_line.subcommand(("train", "sweep"))
    cli.run(define, lambda args: main(chosen, args))
