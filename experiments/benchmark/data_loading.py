"""Measures data loading from a large prepared corpus: time and memory of the batch plan, and the speed of reading.

    python -m experiments.benchmark.data_loading --what=plan|read [--pairs=36000000] [--folder=FOLDER]

Generates a prepared corpus of random tokens (4.7 GiB for 36 M pairs), and keeps it if --folder names a folder.

plan: seconds from a prepared folder to batch k, in epoch 0 and in epoch 1000, each in its own process. Memory is the
peak resident memory once the pairs of batch k are known ("peak_gib_of_plan"), and in total ("peak_gib"). Both include
pages of the memory-mapped files, which the system reclaims when it needs them; "own_gib" (Linux) is without those.

read: batches per second that one thread assembles from pairs all over the corpus. "cold" are the first batches after
the system dropped the files' pages (Linux; pages that are still mapped stay), "warm" are batches of files that are in
memory. Tokens exclude padding, cells include it; both count source and target. "needed_cells_per_second" is what 20
steps a second of 25,000 + 25,000 tokens need.

Prints one JSON object.
"""

import json
import os
import pathlib
import tempfile
import threading
import time
from typing import Any

import numpy as np
from absl import flags

from configs import base
from experiments.benchmark.peers.worker import process_peak_bytes
from experiments.runtime import cli
from experiments.runtime.subprocesses import call
from transformer.data.batches.plan import BatchPlan
from transformer.data.pairs import LazyPairs
from transformer.data.prepared import PreparedFolder
from transformer.data.shards import Shards
from transformer.data.token_dataset import TokenizedPairs, TokenizedSide
from transformer.spec import EOS, PAD, UNK, DataSpec

VOCABULARY = 32_000
MAX_LENGTH = 100
# Source lengths are Gamma-distributed and target lengths follow them, EOS included: 28 and 29 tokens on average, close
# to WMT 2014's news text with 32,000 pieces, and truncated at MAX_LENGTH.
_SHAPE, _SCALE = 2.2, 12.0
_TARGET_RATIO, _TARGET_SPREAD = 1.05, 0.15
_SHARD_PAIRS = 1 << 16
_LATE_EPOCH = 1000
_NEEDED_CELLS = 20 * (25_000 + 25_000)  # per second: Section 5.1's batch size at 20 steps a second


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_enum("what", "plan", ["plan", "read"], "what to measure")
    flags.DEFINE_integer("pairs", 36_000_000, "pairs of the generated corpus", lower_bound=1)
    flags.DEFINE_string("folder", None, "folder of the generated corpus; default: a temporary folder")
    flags.DEFINE_integer("tokens_per_batch", 25_000, "rows × width of a batch, on its wider side", lower_bound=1)
    flags.DEFINE_integer("buckets", 8, "number of batch shapes", lower_bound=1)
    flags.DEFINE_integer("batches", 1000, "read: batches to read, cold and warm", lower_bound=1)


def main(args: cli.Args) -> None:
    """Measures and prints."""
    cli.exit_on_sigterm()
    with cli.runtime_errors(), cli.user_errors(), tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        call(generate_corpus, folder, args.pairs)
        settings = (folder, args.tokens_per_batch, args.buckets)
        if args.what == "plan":
            first = call(measure_plan, *settings, 0)
            late = call(measure_plan, *settings, _LATE_EPOCH)
            result = {"pairs": args.pairs, "first": first, "late": late, "epochs_until_late": _LATE_EPOCH}
        else:
            result = call(measure_reading, *settings, args.batches)
        print(json.dumps(result))


def generate_corpus(path: str, pairs: int) -> None:
    """Writes a prepared folder of random tokens, unless it exists; the same `pairs` give the same tokens."""
    folder = PreparedFolder(pathlib.Path(path))
    made_of = {"generated": pairs}
    folder.check(made_of)
    if folder.complete:
        return
    folder.path.mkdir(parents=True, exist_ok=True)
    data = DataSpec.from_config(base.get_config().to_dict()["data"])
    shards = Shards(folder, LazyPairs(pairs, lambda _: []), data, _SHARD_PAIRS)
    folder.write({"made_of": made_of})
    for number in shards.missing():
        shards.write(number, _random_pairs(shards.pair_range(number)))
    contents = shards.merge(lambda _: None)
    folder.write(folder.manifest | contents | {"fingerprints": shards.fingerprints()})
    shards.delete()


def _random_pairs(indices: range) -> TokenizedPairs:
    rng = np.random.default_rng(indices.start)
    source = np.clip(rng.gamma(_SHAPE, _SCALE, len(indices)) + 2, 2, MAX_LENGTH)
    target = np.clip(source * rng.normal(_TARGET_RATIO, _TARGET_SPREAD, len(indices)) + 1, 2, MAX_LENGTH)

    def side(lengths: np.ndarray) -> TokenizedSide:
        offsets = np.concatenate([[0], np.cumsum(lengths.astype(np.int64))])
        tokens = rng.integers(UNK + 1, VOCABULARY, int(offsets[-1]), np.uint16)
        tokens[offsets[1:] - 1] = EOS
        return TokenizedSide(tokens, offsets)

    return TokenizedPairs(side(source), side(target), np.array(indices, np.int64), 0)


def measure_plan(folder: str, tokens_per_batch: int, buckets: int, epoch: int) -> dict[str, float]:
    """Measures the time to a batch in the middle of an epoch, and then to the first batch of the next epoch."""
    imported, own_memory = _peak_gib(), _OwnMemory()
    start, cpu_start = time.monotonic(), time.process_time()
    pairs = PreparedFolder(pathlib.Path(folder)).pairs("en-fr")
    plan = BatchPlan(pairs, tokens_per_batch=tokens_per_batch, buckets=buckets, seed=0, row_multiple=2)
    shapes_ready = time.monotonic()
    k = epoch * plan.batches_per_epoch() + plan.batches_per_epoch() // 2
    plan.indices(k)
    planned = _peak_gib()
    plan.batch(k)
    batch_ready, cpu_seconds = time.monotonic(), time.process_time() - cpu_start
    plan.batch((epoch + 1) * plan.batches_per_epoch())
    return {
        "batch": k,
        "seconds_to_shapes": shapes_ready - start,
        "seconds_to_batch": batch_ready - start,
        "cpu_seconds_to_batch": cpu_seconds,
        "seconds_to_next_epoch": time.monotonic() - batch_ready,
        "peak_gib_of_plan": planned,
        "peak_gib": _peak_gib(),
        "own_gib": own_memory.stop(),
        "imports_gib": imported,
        "padding_efficiency": plan.padding_efficiency,
    }


def measure_reading(folder: str, tokens_per_batch: int, buckets: int, batches: int) -> dict[str, Any]:
    """Measures the speed of reading batches cold, and then of reading others warm."""
    pairs = PreparedFolder(pathlib.Path(folder)).pairs("en-fr")
    plan = BatchPlan(pairs, tokens_per_batch=tokens_per_batch, buckets=buckets, seed=0, row_multiple=2)
    plan.indices(0)  # shuffles the epoch
    _drop_pages(pathlib.Path(folder))
    cold = _read_batches(plan, range(batches))
    for array in (pairs.source.tokens, pairs.target.tokens, pairs.source.offsets, pairs.target.offsets):
        int(array[:: 4096 // array.itemsize].sum())  # reads one number of every page
    return {
        "pairs": len(pairs),
        "padding_efficiency": plan.padding_efficiency,
        "cold": cold,
        "warm": _read_batches(plan, range(batches, 2 * batches)),
        "needed_cells_per_second": _NEEDED_CELLS,
    }


def _read_batches(plan: BatchPlan, numbers: range) -> dict[str, float]:
    tokens, cells, seconds, cpu_seconds = 0, 0, 0.0, 0.0
    for k in numbers:
        start, cpu_start = time.monotonic(), time.process_time()
        batch = plan.batch(k)
        seconds += time.monotonic() - start
        cpu_seconds += time.process_time() - cpu_start
        tokens += sum(int(np.count_nonzero(side != PAD)) for side in batch)
        cells += sum(side.size for side in batch)
    return {
        "batches": len(numbers),
        "batches_per_second": len(numbers) / seconds,
        "tokens_per_second": tokens / seconds,
        "cells_per_second": cells / seconds,
        "tokens_per_cpu_second": tokens / cpu_seconds,
        "cells_per_cpu_second": cells / cpu_seconds,
    }


def _drop_pages(folder: pathlib.Path) -> None:
    """Asks the system to drop the files' pages from memory."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.glob("*.tokens.npy"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class _OwnMemory(threading.Thread):
    """Samples this process's anonymous memory 50 times a second; Linux does not record its peak."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._peak_kib, self._stopped = 0, threading.Event()
        self.start()

    def run(self) -> None:
        status = pathlib.Path("/proc/self/status")
        while status.exists() and not self._stopped.wait(0.02):
            line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("RssAnon"))
            self._peak_kib = max(self._peak_kib, int(line.split()[1]))

    def stop(self) -> float:
        """Stops sampling and returns the largest sample, in GiB."""
        self._stopped.set()
        self.join()
        return self._peak_kib / 2**20


def _peak_gib() -> float:
    """Returns the peak resident memory of this process, in GiB."""
    return process_peak_bytes() / 2**30


if __name__ == "__main__":
    cli.run(define, main)
