"""How fast batches of a large prepared corpus are read, on one core.

    python -m experiments.benchmark.reading [--pairs=36000000] [--folder=FOLDER]

The folder is that of experiments.benchmark.batch_plan. Batches are assembled one after the other by one thread, from
all over the corpus: "cold" are the first ones after the system was told to forget the files' pages (Linux; mapped pages
it keeps), "warm" are those of files that are in memory. Tokens are real ones, of both sides, cells those and padding.
"needed_cells_per_second" is what 20 steps a second of 25,000 + 25,000 take. Prints one JSON object.
"""

import json
import os
import pathlib
import tempfile
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from experiments.benchmark.batch_plan import make
from experiments.runtime import cli
from experiments.runtime.subprocesses import result_of
from transformer.spec import PAD

if TYPE_CHECKING:
    from transformer.data.batches.plan import BatchPlan

_NEEDED = 20 * (25_000 + 25_000)  # tokens a second, padding included: Section 5.1 at 20 steps a second


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_integer("pairs", 36_000_000, "pairs of the generated corpus", lower_bound=1)
    flags.DEFINE_string("folder", None, "where it is kept; none: it is made anew, and deleted")
    flags.DEFINE_integer("tokens_per_batch", 25_000, "rows × width of a batch, on its wider side", lower_bound=1)
    flags.DEFINE_integer("batches", 1000, "batches that are read, cold and warm", lower_bound=1)


def main(args: cli.Args) -> None:
    """Measures and prints."""
    cli.end_on_sigterm()
    with cli.failures(), cli.mistakes(), tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or temporary
        result_of(make, folder, args.pairs)
        print(json.dumps(result_of(measure, folder, args.tokens_per_batch, args.batches)))


def measure(folder: str, tokens_per_batch: int, batches: int) -> dict[str, Any]:
    """Reads batches cold, and then others warm."""
    from transformer.data.batches.plan import BatchPlan
    from transformer.data.prepared import Prepared

    pairs = Prepared(pathlib.Path(folder)).pairs("en-fr")
    plan = BatchPlan(pairs, tokens_per_batch=tokens_per_batch, buckets=8, seed=0, row_multiple=2)
    plan.indices(0)  # shuffles the epoch
    _forget(pathlib.Path(folder))
    cold = _timed(plan, range(batches))
    for array in (pairs.source.tokens, pairs.target.tokens, pairs.source.offsets, pairs.target.offsets):
        int(array[:: 4096 // array.itemsize].sum())  # a number of every page
    return {
        "pairs": len(pairs),
        "padding_efficiency": plan.padding_efficiency,
        "cold": cold,
        "warm": _timed(plan, range(batches, 2 * batches)),
        "needed_cells_per_second": _NEEDED,
    }


def _timed(plan: "BatchPlan", numbers: Iterable[int]) -> dict[str, float]:
    tokens, cells, count, seconds, work = 0, 0, 0, 0.0, 0.0
    for k in numbers:
        begun, worked = time.monotonic(), time.process_time()
        batch = plan.batch(k)
        seconds, work = seconds + time.monotonic() - begun, work + time.process_time() - worked
        tokens += sum(int(np.count_nonzero(side != PAD)) for side in batch)
        cells += sum(side.size for side in batch)
        count += 1
    return {
        "batches": count,
        "batches_per_second": count / seconds,
        "tokens_per_second": tokens / seconds,
        "cells_per_second": cells / seconds,
        "tokens_per_cpu_second": tokens / work,
        "cells_per_cpu_second": cells / work,
    }


def _forget(folder: pathlib.Path) -> None:
    """Asks the system to drop the files' pages."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.glob("*.tokens.npy"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    cli.run(define, main)
