"""What every library that trains has in common: it is told what to do, and says what that took, line by line.

A worker is started with a `Work` as JSON, prepares itself, and prints a JSON object. Each line that it then reads is a
number of updates; it makes them and prints another object. So several workers wait for each other in one comparison.
"""

import itertools
import json
import os
import pathlib
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from experiments.benchmark import works


class Trainer(Protocol):
    """A model in training, and what its library is."""

    versions: dict[str, str]
    device: str
    dtype: str  # of products

    @property
    def parameters(self) -> int:
        """How many there are."""
        ...

    def update(self, number: int) -> None:
        """Begins an update on the batch with that number; it need not end."""
        ...

    def loss(self) -> float:
        """Of the last update, in nats a target token, smoothed; waits for it."""
        ...

    def peak_bytes(self) -> int:
        """The most memory that was used so far."""
        ...


def process_peak() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_on(device: Any) -> int:
    """The most memory that was used on a JAX device, in bytes; of the process, where the device does not count it."""
    statistics = device.memory_stats()
    return statistics["peak_bytes_in_use"] if statistics else process_peak()


Turn = Callable[[str], dict[str, Any]]


def answer(prepare: Callable[[str], tuple[dict[str, Any], Turn]]) -> None:
    """Runs a worker until its input ends.

    Args:
      prepare: from the first argument of the program to what the worker says about itself, and to what answers a line.
    """
    # What a library prints must not stand between our lines.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a worker is killed when it is done with
    said, turn = prepare(sys.argv[1])
    print(json.dumps(said), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(turn(line.rstrip("\n"))), file=answers, flush=True)


def serve(make: Callable[[works.Work, list[works.Batch]], Trainer]) -> None:
    """Runs a worker that trains; the first batch is used once to prepare."""

    def prepare(argument: str) -> tuple[dict[str, Any], Turn]:
        work = works.Work(**json.loads(argument))
        begun = time.monotonic()
        trainer = make(work, works.batches(work, works.NUMBER))
        trainer.update(0)
        said = {
            "loss": trainer.loss(),
            "seconds_to_first_update": time.monotonic() - begun,
            "parameters": trainer.parameters,
            "versions": trainer.versions,
            "device": trainer.device,
            "dtype": trainer.dtype,
        }
        done = itertools.count(1)

        def turn(line: str) -> dict[str, Any]:
            # Not counted: the caches are full of what another library left there, whose threads may not sleep yet.
            trainer.update(next(done) % works.NUMBER)
            trainer.loss()
            begun = time.monotonic()
            for _ in range(int(line)):
                trainer.update(next(done) % works.NUMBER)
            loss = trainer.loss()
            return {"seconds": time.monotonic() - begun, "loss": loss, "peak_bytes": trainer.peak_bytes()}

        return said, turn

    answer(prepare)


def serve_search(make: Callable[[dict[str, Any]], tuple[dict[str, str], Callable[[list[str]], list[str]]]]) -> None:
    """Runs a worker that translates the same file at each turn, and writes what it found to the file that it is told.

    Args:
      make: from the search's settings to the versions of libraries, and to what translates.
    """

    def prepare(argument: str) -> tuple[dict[str, Any], Turn]:
        settings = json.loads(argument)
        versions, translate = make(settings)
        lines = pathlib.Path(settings["source"]).read_text(encoding="utf-8").splitlines()

        def turn(line: str) -> dict[str, Any]:
            begun = time.monotonic()
            texts = translate(lines)
            seconds = time.monotonic() - begun
            pathlib.Path(line).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
            return {"seconds": seconds, "peak_bytes": process_peak()}

        return {"versions": versions, "sentences": len(lines)}, turn

    answer(prepare)
