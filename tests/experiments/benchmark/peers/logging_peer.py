"""A peer with a stand-in for Marian, which reads batches and logs as Marian does, and trains nothing."""

import os
import sys
import time

import numpy as np

from experiments.benchmark.peers import marian_toolkit, worker


def log(flags: dict[str, str], skip: bool) -> None:
    """Writes Marian's log."""
    if int(flags["--dim-emb"]) % int(flags["--transformer-heads"]):
        sys.exit("[now] Error: Aborted, heads do not fit")
    with open(flags["--vocabs"], encoding="utf-8") as lines:
        vocabulary = lines.read().split()
    print(f"Training started as {os.getpid()}.", file=sys.stderr, flush=True)
    if skip:
        sys.stdin.readline()
    for update in range(1, 99):
        pairs = [sys.stdin.readline().rstrip("\n").split("\t") for _ in range(int(flags["--mini-batch"]))]
        tokens = 0
        for source, target in pairs:
            assert set(source.split()) | set(target.split()) <= set(vocabulary[4:])
            tokens += len(target.split()) + 1
        time.sleep(0.1)
        counts = f"Cost {99.5 - update} * {tokens:,} @ {tokens:,} after {tokens * update:,}"
        print(f"[now] Ep. 1 : Up. {update} : Sen. 1,009 : {counts} : Time 0.1s", file=sys.stderr, flush=True)
        if flags.get("--after") == f"{update}u":
            np.savez(flags["--model"], **{"Wemb": np.zeros((len(vocabulary), 2)), "special:model.yml": np.zeros(99)})
            break


if __name__ == "__main__":
    if "--mini-batch" in sys.argv:
        log(dict(zip(sys.argv, sys.argv[1:], strict=False)), "skip" in sys.argv)
    else:
        marian_toolkit._MARIAN = (sys.executable, "-m", "tests.experiments.benchmark.peers.logging_peer", *sys.argv[2:])
        marian_toolkit.version = lambda name: f"version of {name}"
        worker.serve_trainer(marian_toolkit.MarianTrainer)
