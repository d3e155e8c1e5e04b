"""What every library that trains has in common: it is told what to do, and says what that took, line by line.

A worker is started with a `Work` as JSON, prepares itself, and prints a JSON object. Each line that it then reads is a
number of updates; it makes them and prints another object. So several workers wait for each other in one comparison.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from experiments.benchmark import works

BATCHES = 4  # that are made again and again


class Trainer(Protocol):
    """A model in training, and what its library is."""

    parameters: int
    versions: dict[str, str]
    device: str

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


def serve(make: Callable[[works.Work, list[works.Batch]], Trainer]) -> None:
    """Runs a worker until its input ends; the first batch is used once to prepare."""
    # What a library prints must not stand between our lines.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**found: Any) -> None:
        answers.write(json.dumps(found) + "\n")
        answers.flush()

    work = works.Work(**json.loads(sys.argv[1]))
    begun = time.monotonic()
    trainer = make(work, works.batches(work, BATCHES))
    trainer.update(0)
    first = trainer.loss()
    answer(
        parameters=trainer.parameters,
        versions=trainer.versions,
        device=trainer.device,
        seconds_to_first_update=time.monotonic() - begun,
        loss=first,
    )
    done = 1
    for line in sys.stdin:
        begun = time.monotonic()
        for _ in range(int(line)):
            trainer.update(done % BATCHES)
            done += 1
        loss = trainer.loss()
        answer(seconds=time.monotonic() - begun, loss=loss, peak_bytes=trainer.peak_bytes())
