"""What a GPU reaches, in one call: training beside other libraries, where the time goes, several models at once.

    python -m experiments.benchmark.accelerator [--minutes=10 --works=BASE,BIG --peers=ours,pytorch-compiled,...]

Runs `experiments.benchmark.train`, `.profile` and `.population` one after the other, each in bfloat16 where it has a
dtype and each in a process of its own: one that fails or hangs takes nothing from the others. Each may take an equal
share of the time that is left, and is ended then with all that it began. What they print comes through: a JSON object
a measurement, and their tables. Exit status 1 if one failed or was cut off.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import flags

from experiments.benchmark import train, works
from experiments.benchmark.turns import known
from experiments.runtime import cli

_PACKAGE = "experiments.benchmark"


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_float("minutes", 10, "for all of it", lower_bound=0.1)
    flags.DEFINE_list("works", ["BASE", "BIG"], "that are trained; the last one is profiled")
    flags.DEFINE_list("peers", ["ours", "ours-cudnn", "pytorch-compiled", "hugging-face-compiled"], "what is compared")
    flags.DEFINE_integer("rounds", 5, "turns of each; the first is not counted", lower_bound=2)
    flags.DEFINE_list("members", ["1", "2", "4", "8", "16"], "numbers of TINY models that are trained together")


def main(args: cli.Args) -> None:
    """Runs and prints."""
    with cli.mistakes():
        names = list(known(args.works, works.WORKS, "--works"))
        peers = list(known(args.peers, train.PEERS, "--peers"))
    commands = parts(names, peers, args.rounds, args.members)
    if faults := run(commands, 60 * args.minutes):
        for fault in faults:
            print(f"error: {fault}", file=sys.stderr)
        sys.exit(1)


def parts(names: Sequence[str], peers: Sequence[str], rounds: int, members: Sequence[str]) -> list[list[str]]:
    """The commands to run; each work is one, and so what does not fit costs no other."""
    half = "--dtype=bfloat16"
    return [
        [sys.executable, "-m", f"{_PACKAGE}.{name}", *arguments]
        for name, *arguments in (
            *(["train", f"--works={each}", half, f"--peers={','.join(peers)}", f"--rounds={rounds}"] for each in names),
            ["profile", f"--work={names[-1]}", half],
            ["population", f"--members={','.join(members)}", "--repeats=1"],
        )
    ]


def run(commands: Sequence[Sequence[str]], seconds: float) -> list[str]:
    """Runs commands one by one, for so long in all; returns what went wrong, empty if nothing did."""
    end = time.monotonic() + seconds
    faults = []
    for number, each in enumerate(commands):
        line = " ".join(each[2:])
        print(f"\n## {line}\n", flush=True)
        process = subprocess.Popen(each, start_new_session=True)
        try:
            status = process.wait(max(0.0, end - time.monotonic()) / (len(commands) - number))
            if status:
                faults.append(f"{line}: status {status}")
        except subprocess.TimeoutExpired:
            faults.append(f"{line}: cut off, its share of the time was over")
        finally:
            _end(process)
    return faults


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it began, which else would keep the accelerator."""
    with contextlib.suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    cli.run(define, main)
