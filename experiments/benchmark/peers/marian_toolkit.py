"""Marian's own trainer as a worker, on CPUs, where it has float32 alone; on Linux, for which pymarian is.

Its environment: `python3 -m venv .venv-peers/marian && .venv-peers/marian/bin/pip install pymarian numpy`.

Marian cannot be asked for an update: it is a program that trains on and on, on batches that it reads as text, and logs
a line an update. So its process is stopped while it has no turn, by SIGSTOP, and the line of an update is waited for.
"""

import contextlib
import ctypes
import itertools
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from importlib.metadata import version
from typing import IO

import numpy as np

from experiments.benchmark import works
from experiments.benchmark.peers import worker
from transformer.spec import UNK

_MARIAN = (sys.executable, "-m", "pymarian", "train")
_UPDATE = re.compile(r" : Cost (?P<loss>[-.\w]+) \* [\d,]+ @ (?P<tokens>[\d,]+) after ")
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


class Marian:
    """Marian in training.

    Args:
      work: what is trained.
      given: the batches, which are trained on in their order, again and again.
    """

    def __init__(self, work: works.Work, given: list[works.Batch]) -> None:
        if work.dtype != "float32":
            raise ValueError(f"Marian has no {work.dtype}")
        self.versions = {"pymarian": version("pymarian")}
        self.device, self.dtype = "cpu", work.dtype
        self._work, self._given = work, given
        self._loss = 0.0
        # The folder is not left behind when this process is killed: what Marian needs of it is read by then.
        with tempfile.TemporaryDirectory() as folder:
            self._process = _train(work, given, pathlib.Path(folder))
            _wait(self._process, re.compile("Training started"))

    @property
    def parameters(self) -> int:
        """Of the file that another Marian writes after one update, the only place where their number is found."""
        with tempfile.TemporaryDirectory() as folder:
            if status := _train(self._work, self._given, pathlib.Path(folder), ("--after", "1u"), log=None).wait():
                raise RuntimeError(f"Marian ended with status {status} instead of writing its model")
            with np.load(pathlib.Path(folder, "model.npz")) as arrays:
                return sum(arrays[name].size for name in arrays if not name.startswith("special:"))

    def update(self, number: int) -> None:
        """Waits for the next update, which must be on the batch with that number."""
        self._process.send_signal(signal.SIGCONT)
        found = _wait(self._process, _UPDATE)
        tokens = int(found["tokens"].replace(",", ""))
        if tokens != self._given[number].tokens:
            raise RuntimeError(f"batch {number} has {self._given[number].tokens} target tokens, Marian's {tokens}")
        self._loss = float(found["loss"])

    def loss(self) -> float:
        """Of the last update; Marian stands still until the next."""
        self._process.send_signal(signal.SIGSTOP)
        return self._loss

    def peak_bytes(self) -> int:
        """Of Marian's process."""
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


def _train(
    work: works.Work,
    given: list[works.Batch],
    folder: pathlib.Path,
    more: Sequence[str] = (),
    log: int | None = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Begins to train; the vocabulary is in the folder, and the model will be. A word is its number."""
    vocabulary = folder / "vocabulary.txt"
    # Marian's own two are the first, in this order; it appends </s> itself, and begins a target with zeros, not BOS.
    vocabulary.write_text("\n".join(["</s>", "<unk>", *map(str, range(2, work.vocabulary))]) + "\n")
    flags = {
        "--type": "transformer",
        "--model": folder / "model.npz",
        "--train-sets": "stdin",
        "--dim-emb": work.d_model,
        "--enc-depth": work.layers,
        "--dec-depth": work.layers,
        "--transformer-heads": work.heads,
        "--transformer-dim-ffn": work.d_ff,
        "--transformer-ffn-activation": "relu",
        # Of embeddings and of sub-layers' outputs; that of attention weights and of the feed-forward network is 0.
        "--transformer-dropout": work.dropout,
        "--label-smoothing": work.smoothing,
        "--learn-rate": 1e-3,
        "--clip-norm": 0,
        "--mini-batch": work.rows,
        "--maxi-batch": 1,
        "--maxi-batch-sort": "none",
        "--shuffle": "none",
        "--max-length": work.width,
        "--disp-freq": "1u",
        "--save-freq": "1000000u",
        "--seed": 1,
        # Each has a copy of the model and a part of every batch: Marian's products are of one thread.
        "--cpu-threads": len(os.sched_getaffinity(0)),
    }
    process = subprocess.Popen(
        [
            *_MARIAN,
            *(str(each) for flag in flags.items() for each in flag),
            *("--tsv", "--sync-sgd", "--tied-embeddings-all", "--output-omit-bias"),
            *("--vocabs", str(vocabulary), str(vocabulary)),
            *("--optimizer-params", "0.9", "0.98", "1e-9"),
            *more,
        ],
        stdin=subprocess.PIPE,
        stderr=log,
        # A worker is killed when it is done with, and a process that stands still would outlive it.
        preexec_fn=lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    threading.Thread(target=_feed, args=(process.stdin, [_text(batch) for batch in given]), daemon=True).start()
    return process


def _text(batch: works.Batch) -> bytes:
    """A batch in lines of a source, a tab and its target."""
    sides = ([" ".join(str(token) for token in row if token > UNK) for row in side] for side in batch)
    return "".join(f"{source}\t{target}\n" for source, target in zip(*sides, strict=True)).encode()


def _feed(pipe: IO[bytes], texts: Sequence[bytes]) -> None:
    """Writes texts again and again, as fast as they are read."""
    with contextlib.suppress(BrokenPipeError), pipe:
        for text in itertools.cycle(texts):
            pipe.write(text)


def _wait(process: subprocess.Popen[bytes], pattern: re.Pattern[str]) -> re.Match[str]:
    """The next match in what a process logs, which all comes through.

    Raises:
      RuntimeError: it ended.
    """
    assert process.stderr is not None
    error = ""
    for line in process.stderr:
        text = line.decode(errors="replace")
        sys.stderr.write(text)
        if found := pattern.search(text):
            return found
        error = text.strip() if " Error: " in text else error
    raise RuntimeError(f"Marian ended with status {process.wait()}: {error}")


if __name__ == "__main__":
    sys.exit(worker.serve(Marian))
