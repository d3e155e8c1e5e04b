"""What a GPU or TPU reaches, in one call: training beside other libraries, several models at once, where time goes.

    python -m experiments.benchmark.accelerator [--minutes=10 --works=BASE,BIG --peers=ours,pytorch-compiled,...]

Runs `experiments.benchmark.train`, `.profile` and `.population` one after the other, each in bfloat16 where it has a
dtype and each in a process of its own, so that one that fails takes nothing from the others. None is begun, or goes
on, once the time is over. What they print comes through: a JSON object a measurement, and their tables. Exit status 1
if one failed or was cut off.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from experiments import command

_PACKAGE = "experiments.benchmark"


class Flags(NamedTuple):
    """What the command takes."""

    minutes: flags.FlagHolder
    works: flags.FlagHolder
    peers: flags.FlagHolder
    rounds: flags.FlagHolder
    members: flags.FlagHolder


def define() -> Flags:
    """Defines the flags."""
    return Flags(
        flags.DEFINE_float("minutes", 10, "for all of it", lower_bound=0.1),
        flags.DEFINE_string("works", "BASE,BIG", "that are trained"),
        flags.DEFINE_string("peers", "ours,pytorch-compiled,hugging-face-compiled", "what is compared, ours first"),
        flags.DEFINE_integer("rounds", 5, "turns of each; the first is not counted", lower_bound=2),
        flags.DEFINE_string("members", "1,2,4,8,16", "numbers of models of the size TINY that are trained together"),
    )


def main(given: Flags) -> None:
    """Runs and prints."""
    names = given.works.value.split(",")
    half = "--dtype=bfloat16"
    parts = [
        # One work a process: a size that does not fit, or a peer that hangs, costs its own part alone.
        *(
            ["train", f"--works={name}", half, f"--peers={given.peers.value}", f"--rounds={given.rounds.value}"]
            for name in names
        ),
        ["profile", f"--work={names[-1]}", half],
        ["population", f"--members={given.members.value}", "--repeats=1"],
    ]
    commands = [[sys.executable, "-m", f"{_PACKAGE}.{name}", *arguments] for name, *arguments in parts]
    if faults := run(commands, 60 * given.minutes.value):
        for fault in faults:
            print(f"error: {fault}", file=sys.stderr)
        sys.exit(1)


def run(commands: Sequence[Sequence[str]], seconds: float) -> list[str]:
    """Runs commands one by one, for so long in all; returns what went wrong, empty if nothing did."""
    end = time.monotonic() + seconds
    faults = []
    for each in commands:
        line = " ".join(each[2:])
        left = end - time.monotonic()
        if left <= 0:
            faults.append(f"{line}: not begun, the time was over")
            continue
        print(f"\n## {line}\n", flush=True)
        try:
            status = subprocess.run(each, timeout=left, check=False).returncode
        except subprocess.TimeoutExpired:
            faults.append(f"{line}: cut off, the time was over")
            continue
        if status:
            faults.append(f"{line}: status {status}")
    return faults


if __name__ == "__main__":
    command.run(define, main)
