"""The protocol of the peers: JSON objects on stdout in reply to lines on stdin.

A peer is started with a `Workload` as JSON, prepares itself, and prints a JSON object. Each further line is a number of
updates; the peer runs them and prints another object. So the peers of a comparison wait for each other.
"""

import itertools
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from experiments.benchmark.workloads import NUM_BATCHES, SentenceBatch, Workload, make_batches


class Trainer(Protocol):
    """A library's model in training.

    Attributes:
      versions: versions of the library and of its dependencies.
      device: name of the device.
      dtype: dtype of the matmuls.
    """

    versions: dict[str, str]
    device: str
    dtype: str

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        ...

    def update(self, index: int) -> None:
        """Dispatches an update on the batch with that index; it need not wait for the result."""
        ...

    def loss(self) -> float:
        """Waits for the last update; returns its label-smoothed loss in nats per target token."""
        ...

    def peak_bytes(self) -> int:
        """Returns the peak memory so far."""
        ...


def process_peak_bytes() -> int:
    """Returns the peak resident memory of this process, in bytes."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():  # ru_maxrss would include the memory of the process that started this one
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, KiB elsewhere
    return peak if sys.platform == "darwin" else peak * 1024


def device_peak_bytes(device: Any) -> int:
    """Returns the peak memory of a JAX device in bytes; that of the process, if the device does not record it."""
    statistics = device.memory_stats()
    return statistics["peak_bytes_in_use"] if statistics else process_peak_bytes()


Turn = Callable[[str], dict[str, Any]]


def serve(prepare: Callable[[str], tuple[dict[str, Any], Turn]]) -> None:
    """Runs a peer until its stdin is closed.

    Args:
      prepare: maps the program's first argument to the peer's description, and to the function that takes a turn.
    """
    # Output of the library must not appear among the JSON objects.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # the benchmark kills peers at the end
    description, turn = prepare(sys.argv[1])
    print(json.dumps(description), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(turn(line.rstrip("\n"))), file=replies, flush=True)


def serve_trainer(make_trainer: Callable[[Workload, list[SentenceBatch]], Trainer]) -> None:
    """Runs a peer that trains; one update prepares it."""

    def prepare(argument: str) -> tuple[dict[str, Any], Turn]:
        workload = Workload(**json.loads(argument))
        start = time.monotonic()
        trainer = make_trainer(workload, make_batches(workload, NUM_BATCHES))
        trainer.update(0)
        description = {
            "loss": trainer.loss(),
            "seconds_to_first_update": time.monotonic() - start,
            "parameters": trainer.parameters,
            "versions": trainer.versions,
            "device": trainer.device,
            "dtype": trainer.dtype,
        }
        updates = itertools.count(1)

        def turn(line: str) -> dict[str, Any]:
            # Not timed: the caches hold data of another library, whose threads may still be spinning.
            trainer.update(next(updates) % NUM_BATCHES)
            trainer.loss()
            start = time.monotonic()
            for _ in range(int(line)):
                trainer.update(next(updates) % NUM_BATCHES)
            loss = trainer.loss()
            return {"seconds": time.monotonic() - start, "loss": loss, "peak_bytes": trainer.peak_bytes()}

        return description, turn

    serve(prepare)


def serve_translator(
    make_translator: Callable[[dict[str, Any]], tuple[dict[str, str], Callable[[list[str]], list[str]]]],
) -> None:
    """Runs a peer that translates the same file at each turn; a line names the file for the translations.

    Args:
      make_translator: maps the search settings to the versions of the library, and to the translate function.
    """

    def prepare(argument: str) -> tuple[dict[str, Any], Turn]:
        settings = json.loads(argument)
        versions, translate = make_translator(settings)
        sentences = pathlib.Path(settings["source"]).read_text(encoding="utf-8").splitlines()

        def turn(line: str) -> dict[str, Any]:
            start = time.monotonic()
            translations = translate(sentences)
            seconds = time.monotonic() - start
            pathlib.Path(line).write_text("".join(f"{text}\n" for text in translations), encoding="utf-8")
            return {"seconds": seconds, "peak_bytes": process_peak_bytes()}

        return {"versions": versions, "sentences": len(sentences)}, turn

    serve(prepare)
