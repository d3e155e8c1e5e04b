"""Trains under SLURM: one run as a job, or a sweep as a job array.

    python -m launch.slurm train --config=FILE --workdir=D [--nodes=4 --gpus=8 --partition=P --time=12:00:00]
    python -m launch.slurm sweep --config=FILE --sweep=FILE --workdir=D --tasks=4

Writes a batch script to the folder D.slurm, which also holds the logs, and submits it. --dry_run prints the script and
the sbatch command line and submits nothing. Each task of a job array takes cells of the sweep that no other task has
leased. A job that is preempted or reaches its time limit saves a checkpoint and is requeued. See launch/slurm.md.
"""

import pathlib
import re
import shlex
import sys

from absl import flags

from experiments.runtime import cli, config_files
from launch import command_line
from launch.shell import Shell
from transformer import storage

REQUIRED = {"train": ("config", "workdir"), "sweep": ("config", "sweep", "workdir")}
_UNQUOTED = re.compile(r"[A-Za-z0-9:./_%=,+@-]+")  # valid value of an #SBATCH line, which no shell unquotes


def define() -> None:
    """Defines the flags."""
    string, integer = flags.DEFINE_string, flags.DEFINE_integer
    config_files.define_config_flag("config of the run")
    string("sweep", None, "sweep: file of variants, FILE or FILE:ARGUMENT")
    string("workdir", None, "folder of the run or sweep, in a bucket, or on storage that all nodes share")
    integer("nodes", 1, "train: number of hosts, which share each batch", 1)
    integer("gpus", 0, "GPUs of each node; 0: train on CPUs", 0)
    integer("cpus", 8, "CPU cores of each node", 1)
    string("memory", None, "memory of each node, such as 64G; default: the cluster's")
    string("time", "12:00:00", "time limit of a job; a run that needs longer is requeued")
    string("partition", None, "partition; default: the cluster's")
    string("account", None, "account to charge; default: your own")
    integer("tasks", 4, "sweep: number of jobs that share the cells", 1)
    string("sweep_flags", "", "sweep: more flags of experiments.sweep, such as '--seeds=5 --population=off'")
    flags.DEFINE_multi_string("sbatch", [], "another option for sbatch, such as --constraint=a100; may be repeated")
    string("prepare", "", "shell line to run in each job before it starts, such as 'module load cuda'")
    flags.DEFINE_bool("dry_run", False, "print the script and the sbatch command line, and submit nothing")


def batch_script(args: cli.Args, subcommand: str) -> str:
    """Returns the batch script.

    Raises:
      ValueError: an invalid config, folder or flag value.
      FileNotFoundError: the file of variants does not exist.
    """
    workdir = _absolute(args.workdir)
    config = command_line.config_arguments(args.config, copied=False)
    if subcommand == "train":
        command = command_line.train_command(sys.executable, config, workdir)
    else:
        path, colon, argument = args.sweep.partition(":")
        if not pathlib.Path(path).is_file():
            raise FileNotFoundError(f"--sweep: {path} does not exist")
        sweep = f"{pathlib.Path(path).resolve()}{colon}{argument}"
        sweep_flags = [f"--sweep={sweep}", f"--workdir={workdir}", *shlex.split(args.sweep_flags)]
        command = [sys.executable, "-m", "experiments.sweep", *config, *sweep_flags]
    body = [
        f"cd {shlex.quote(str(command_line.ROOT))}",
    ]
    if subcommand == "sweep":  # leases that a killed process held on cells must expire first
        body.append(f'if [ "${{SLURM_RESTART_COUNT:-0}}" -gt 0 ]; then sleep {command_line.LEASE_EXPIRY}; fi')
    if subcommand == "train" and args.nodes > 1 and args.gpus:
        # By default, JAX takes one GPU for each process, and each node runs one process.
        body.append(f"export JAX_LOCAL_DEVICE_IDS={','.join(map(str, range(args.gpus)))}")
    body += [args.prepare] if args.prepare else []
    body += [
        "trap 'signalled=1' TERM",
        f"srun --cpus-per-task={args.cpus} {shlex.join(command)}",
        "status=$?",
        "# 143: the run saved and stopped on SIGTERM; the same command resumes it. If this shell got the signal, too,",
        "# the job was cancelled, or was preempted, and SLURM itself requeues a preempted job.",
        'if [ "$status" -eq 143 ] && [ -z "${signalled:-}" ]; then scontrol requeue "$SLURM_JOB_ID"; fi',
        'exit "$status"',
    ]
    return "\n".join(["#!/bin/bash", *_directives(args, subcommand, workdir), "", *body, ""])


def _absolute(workdir: str) -> str:
    """Returns the workdir as an absolute path; one in a bucket is absolute already."""
    storage.check_url(workdir)
    return workdir if workdir.startswith("gs://") else str(pathlib.Path(workdir).resolve())


def _directives(args: cli.Args, subcommand: str, workdir: str) -> list[str]:
    """Returns the #SBATCH lines."""
    options = [
        f"--job-name={pathlib.PurePath(workdir).name}",
        f"--nodes={args.nodes if subcommand == 'train' else 1}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={args.cpus}",
        f"--time={args.time}",
        f"--output={_job_folder(workdir)}/%{'A_%a' if subcommand == 'sweep' else 'j'}.out",
        "--open-mode=append",  # a requeued job appends to its log
        "--requeue",
        # SLURM signals only the processes, not this shell, a minute before the time limit. Preemption signals the
        # processes itself, and a process that gets a second signal exits at once.
        "--signal=TERM@60",
    ]
    optional = {"gpus-per-node": args.gpus, "mem": args.memory, "partition": args.partition, "account": args.account}
    options += [f"--{name}={value}" for name, value in optional.items() if value]
    options += [f"--array=0-{args.tasks - 1}"] if subcommand == "sweep" else []
    options += args.sbatch
    for option in options:
        if not option.startswith("--") or not _UNQUOTED.fullmatch(option):
            raise ValueError(f"#SBATCH {option}: not of the form --NAME=VALUE, without blanks and quotes")
    return [f"#SBATCH {option}" for option in options]


def _job_folder(workdir: str) -> pathlib.Path:
    """Returns the folder of scripts and logs; not inside the workdir, which must be empty when a run starts.

    For a workdir in a bucket it is in the current folder.
    """
    path = pathlib.Path(workdir)
    return path.with_name(f"{path.name}.slurm") if path.is_absolute() else pathlib.Path(f"{path.name}.slurm").resolve()


def main(subcommand: str, args: cli.Args) -> None:
    """Writes the batch script and submits it."""
    with cli.runtime_errors(), cli.user_errors():
        command_line.require_flags(args, REQUIRED[subcommand], subcommand)
        script = batch_script(args, subcommand)
        path = _job_folder(_absolute(args.workdir)) / f"{subcommand}.sbatch"
        if args.dry_run:
            print(script)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(script, encoding="utf-8")
        Shell(args.dry_run).run("sbatch", str(path))


if __name__ == "__main__":
    chosen = command_line.pop_subcommand(tuple(REQUIRED))
    cli.run(define, lambda args: main(chosen, args))
