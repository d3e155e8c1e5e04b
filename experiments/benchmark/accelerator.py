"""Measures a GPU in one call: training speed next to other libraries, a profile, and populations.

    python -m experiments.benchmark.accelerator [--minutes=10 --works=BASE,BIG --peers=ours,pytorch-compiled,...]

Runs `experiments.benchmark.train`, `.profile` and `.population` one after the other, in bfloat16 where they have a
dtype. Each runs in its own process, so that one that fails or hangs does not affect the others. Each process may use
an equal share of the remaining time; it is then killed with all its child processes. Their output passes through: one
JSON object per measurement, and their tables. Exit status 1 if one failed or timed out.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import flags

from experiments.benchmark.libraries import TRAINING_PEERS
from experiments.benchmark.turns import select
from experiments.benchmark.workloads import WORKLOADS
from experiments.runtime import cli

_DEFAULT_PEERS = ["ours", "ours-cudnn", "pytorch-compiled", "hugging-face-compiled"]


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_float("minutes", 10, "time limit of all benchmarks", lower_bound=0.1)
    flags.DEFINE_list("works", ["BASE", "BIG"], "workloads to train; the last one is profiled")
    flags.DEFINE_list("peers", _DEFAULT_PEERS, "peers to compare")
    flags.DEFINE_integer("rounds", 5, "turns of each peer; the first is not counted", lower_bound=2)
    flags.DEFINE_list("members", ["1", "2", "4", "8", "16"], "population sizes, with the TINY workload")


def main(args: cli.Args) -> None:
    """Runs the benchmarks."""
    with cli.user_errors():
        workloads = list(select(args.works, WORKLOADS, "--works"))
        peers = list(select(args.peers, TRAINING_PEERS, "--peers"))
    commands = benchmark_commands(workloads, peers, args.rounds, args.members)
    if faults := run_commands(commands, 60 * args.minutes):
        for fault in faults:
            print(f"error: {fault}", file=sys.stderr)
        sys.exit(1)


def benchmark_commands(workloads: list[str], peers: list[str], rounds: int, members: list[str]) -> list[list[str]]:
    """Returns the commands; each workload has its own, so that one that does not fit does not affect the others."""
    dtype = "--dtype=bfloat16"
    train_flags = (dtype, f"--peers={','.join(peers)}", f"--rounds={rounds}")
    benchmarks = [["train", f"--works={workload}", *train_flags] for workload in workloads]
    benchmarks += [["profile", f"--work={workloads[-1]}", dtype]]
    benchmarks += [["population", f"--members={','.join(members)}", "--repeats=1"]]
    return [[sys.executable, "-m", f"experiments.benchmark.{name}", *options] for name, *options in benchmarks]


def run_commands(commands: Sequence[Sequence[str]], seconds: float) -> list[str]:
    """Runs commands one after the other within a time limit; returns a message for each that failed."""
    deadline = time.monotonic() + seconds
    faults = []
    for index, command in enumerate(commands):
        title = " ".join(command[2:])
        print(f"\n## {title}\n", flush=True)
        process = subprocess.Popen(command, start_new_session=True)
        try:
            status = process.wait(max(0.0, deadline - time.monotonic()) / (len(commands) - index))
            if status:
                faults.append(f"{title}: status {status}")
        except subprocess.TimeoutExpired:
            faults.append(f"{title}: timed out after its share of --minutes")
        finally:
            # Its child processes would otherwise keep the accelerator.
            with contextlib.suppress(ProcessLookupError):  # all of them have exited
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return faults


if __name__ == "__main__":
    cli.run(define, main)
