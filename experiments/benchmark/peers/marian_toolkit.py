"""Peer: Marian's trainer on CPUs, where it supports only float32; pymarian supports only Linux.

To install it: `python3 -m venv .venv-peers/marian && .venv-peers/marian/bin/pip install pymarian numpy`.

Marian has no call for a single update: it trains continuously on batches that it reads as text, and logs one line per
update. This peer therefore stops its process with SIGSTOP between turns, and waits for the line of each update.
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

from experiments.benchmark.peers import worker
from experiments.benchmark.workloads import SentenceBatch, Workload
from transformer.spec import UNK

_MARIAN = (sys.executable, "-m", "pymarian", "train")
_UPDATE = re.compile(r" : Cost (?P<loss>[-.\w]+) \* [\d,]+ @ (?P<tokens>[\d,]+) after ")
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


class MarianTrainer:
    """A Marian process that trains.

    Args:
      workload: the model and its training settings.
      batches: the batches, which Marian trains on cyclically in this order.
    """

    def __init__(self, workload: Workload, batches: list[SentenceBatch]) -> None:
        if workload.dtype != "float32":
            raise ValueError(f"Marian does not support {workload.dtype}")
        self.versions = {"pymarian": version("pymarian")}
        self.device, self.dtype = "cpu", workload.dtype
        self._workload, self._batches = workload, batches
        self._loss = 0.0
        # The folder is deleted before this process may be killed: Marian has read its files by then.
        with tempfile.TemporaryDirectory() as folder:
            self._process = _start_marian(workload, batches, pathlib.Path(folder))
            _wait(self._process, re.compile("Training started"))

    @property
    def parameters(self) -> int:
        """Number of parameters, read from the model file that another Marian process writes after one update."""
        with tempfile.TemporaryDirectory() as folder:
            if status := _start_marian(
                self._workload, self._batches, pathlib.Path(folder), ("--after", "1u"), log=None
            ).wait():
                raise RuntimeError(f"Marian exited with status {status} instead of writing its model")
            with np.load(pathlib.Path(folder, "model.npz")) as arrays:
                return sum(arrays[name].size for name in arrays if not name.startswith("special:"))

    def update(self, index: int) -> None:
        """Waits for the next update, which must be on the batch with that index."""
        self._process.send_signal(signal.SIGCONT)
        match = _wait(self._process, _UPDATE)
        tokens = int(match["tokens"].replace(",", ""))
        if tokens != self._batches[index].tokens:
            raise RuntimeError(f"batch {index} has {self._batches[index].tokens} target tokens, Marian's {tokens}")
        self._loss = float(match["loss"])

    def loss(self) -> float:
        """Returns the loss of the last update, and stops Marian until the next one."""
        self._process.send_signal(signal.SIGSTOP)
        return self._loss

    def peak_bytes(self) -> int:
        """Returns the peak memory of Marian's process."""
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


def _start_marian(
    workload: Workload,
    batches: list[SentenceBatch],
    folder: pathlib.Path,
    options: Sequence[str] = (),
    log: int | None = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Starts Marian with its vocabulary and its model in the folder."""
    vocabulary = _write_vocabulary(workload, folder)
    process = subprocess.Popen(
        [
            *_MARIAN,
            *(str(word) for flag in _flags(workload, folder).items() for word in flag),
            *("--tsv", "--sync-sgd", "--tied-embeddings-all", "--output-omit-bias"),
            *("--vocabs", str(vocabulary), str(vocabulary)),
            *("--optimizer-params", "0.9", "0.98", "1e-9"),
            *options,
        ],
        stdin=subprocess.PIPE,
        stderr=log,
        # The benchmark kills this peer at the end, and a stopped process would outlive it.
        preexec_fn=lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    threading.Thread(target=_feed, args=(process.stdin, [_text(batch) for batch in batches]), daemon=True).start()
    return process


def _write_vocabulary(workload: Workload, folder: pathlib.Path) -> pathlib.Path:
    """Writes Marian's vocabulary, in which a word is the decimal number of its token id."""
    vocabulary = folder / "vocabulary.txt"
    # Marian's special tokens come first, in this order; it appends </s>, and starts a target with zeros, not BOS.
    tokens = ["</s>", "<unk>", *map(str, range(2, workload.vocabulary))]
    vocabulary.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return vocabulary


def _flags(workload: Workload, folder: pathlib.Path) -> dict[str, object]:
    """Returns Marian's flags."""
    return {
        "--type": "transformer",
        "--model": folder / "model.npz",
        "--train-sets": "stdin",
        "--dim-emb": workload.d_model,
        "--enc-depth": workload.layers,
        "--dec-depth": workload.layers,
        "--transformer-heads": workload.heads,
        "--transformer-dim-ffn": workload.d_ff,
        "--transformer-ffn-activation": "relu",
        # Dropout of embeddings and sublayer outputs; that of attention weights and the feed-forward network is 0.
        "--transformer-dropout": workload.dropout,
        "--label-smoothing": workload.smoothing,
        "--learn-rate": 1e-3,
        "--clip-norm": 0,
        "--mini-batch": workload.rows,
        "--maxi-batch": 1,
        "--maxi-batch-sort": "none",
        "--shuffle": "none",
        "--max-length": workload.width,
        "--disp-freq": "1u",
        "--save-freq": "1000000u",
        "--seed": 1,
        # Each thread has a copy of the model and a part of every batch: Marian's matmuls are single-threaded.
        "--cpu-threads": len(os.sched_getaffinity(0)),
    }


def _text(batch: SentenceBatch) -> bytes:
    """Returns a batch as lines of a source, a tab and its target."""
    sides = ([" ".join(str(token) for token in row if token > UNK) for row in side] for side in batch)
    return "".join(f"{source}\t{target}\n" for source, target in zip(*sides, strict=True)).encode()


def _feed(pipe: IO[bytes], texts: Sequence[bytes]) -> None:
    """Writes the texts cyclically, as fast as the process reads them."""
    with contextlib.suppress(BrokenPipeError), pipe:
        for text in itertools.cycle(texts):
            pipe.write(text)


def _wait(process: subprocess.Popen[bytes], pattern: re.Pattern[str]) -> re.Match[str]:
    """Copies the log of a process to stderr up to the next match, and returns the match.

    Raises:
      RuntimeError: the process exited.
    """
    assert process.stderr is not None
    error = ""
    for line in process.stderr:
        text = line.decode(errors="replace")
        sys.stderr.write(text)
        if match := pattern.search(text):
            return match
        error = text.strip() if " Error: " in text else error
    raise RuntimeError(f"Marian exited with status {process.wait()}: {error}")


if __name__ == "__main__":
    sys.exit(worker.serve_trainer(MarianTrainer))
