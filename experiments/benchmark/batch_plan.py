"""Time and memory until the first batch of a large corpus is there.

    python -m experiments.benchmark.batch_plan [--pairs=36000000] [--folder=FOLDER]

The folder gets a generated corpus in prepared form (4.7 GiB for 36 M pairs), and is kept if it is named. Seconds are
from a prepared folder to batch k, each in a process of its own. Memory is the most that the process had resident, once
it knew which pairs batch k has ("peak_gib_of_plan"), and in all; pages of the folder's files are counted, which the
system takes back when it needs them. "own_gib" (Linux) is in all without those. Prints one JSON object.
"""

import json
import pathlib
import resource
import sys
import tempfile
import threading
import time

from absl import flags

from experiments.runtime import cli
from experiments.runtime.subprocesses import result_of

_LATE = 1000  # epochs


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_integer("pairs", 36_000_000, "pairs of the generated corpus", lower_bound=1)
    flags.DEFINE_string("folder", None, "where it is kept; none: it is made anew, and deleted")
    flags.DEFINE_integer("tokens_per_batch", 25_000, "rows × width of a batch, on its wider side", lower_bound=1)
    flags.DEFINE_integer("buckets", 8, "shapes of batches", lower_bound=1)


def main(args: cli.Args) -> None:
    """Measures and prints."""
    cli.end_on_sigterm()
    with cli.failures(), cli.mistakes(), tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.folder or temporary)
        settings = (str(folder), args.tokens_per_batch, args.buckets)
        result_of(make, str(folder), args.pairs)
        first = result_of(measure, *settings, 0)
        late = result_of(measure, *settings, _LATE)
        print(json.dumps({"pairs": args.pairs, "first": first, "late": late, "epochs_until_late": _LATE}))


def make(folder: str, pairs: int) -> None:
    """Makes the corpus, unless it is there."""
    from experiments.benchmark import generated

    generated.make(pathlib.Path(folder), pairs)


def measure(folder: str, tokens_per_batch: int, buckets: int, epoch: int) -> dict[str, float]:
    """Seconds to the first batch of an epoch and, in the plan that is there then, to the first of the next epoch."""
    from transformer.data.batches.plan import BatchPlan
    from transformer.data.prepared import Prepared

    imported, sampled = _peak(), _Own()
    begun, worked = time.monotonic(), time.process_time()
    pairs = Prepared(pathlib.Path(folder)).pairs("en-fr")
    plan = BatchPlan(pairs, tokens_per_batch=tokens_per_batch, buckets=buckets, seed=0, row_multiple=2)
    shaped = time.monotonic()
    k = epoch * plan.batches_per_epoch() + plan.batches_per_epoch() // 2
    plan.indices(k)
    planned = _peak()
    plan.batch(k)
    there, work = time.monotonic(), time.process_time() - worked
    plan.batch((epoch + 1) * plan.batches_per_epoch())
    return {
        "batch": k,
        "seconds_to_shapes": shaped - begun,
        "seconds_to_batch": there - begun,
        "cpu_seconds_to_batch": work,
        "seconds_to_next_epoch": time.monotonic() - there,
        "peak_gib_of_plan": planned,
        "peak_gib": _peak(),
        "own_gib": sampled.stop(),
        "imports_gib": imported,
        "padding_efficiency": plan.padding_efficiency,
    }


class _Own(threading.Thread):
    """Looks at this process's own memory, 50 times a second: Linux keeps no peak of it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._most, self._over = 0, threading.Event()
        self.start()

    def run(self) -> None:
        status = pathlib.Path("/proc/self/status")
        while status.exists() and not self._over.wait(0.02):
            line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
            self._most = max(self._most, int(line.split()[1]))

    def stop(self) -> float:
        """The most that was seen, in GiB."""
        self._over.set()
        self.join()
        return self._most / 2**20


def _peak() -> float:
    """The most memory that this process has had, in GiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**30 if sys.platform == "darwin" else most / 2**20


if __name__ == "__main__":
    cli.run(define, main)
