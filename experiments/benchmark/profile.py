"""Profiles a training step: the time of each kind of operation in a few updates.

    python -m experiments.benchmark.profile --work=SMALL [--dtype=bfloat16 --updates=3 --top=12 --ours=KEY=VALUE]

Prints a table and, last, one JSON object: the operations that take most of a device's time, and the fraction of the
time in which a device is idle. An operation that contains others, such as a loop or a call, counts only its own time.
For matmuls that a CPU's Eigen library runs on its own threads, the profiler sees only the call, and the rest shows as
idle.
"""

import json
import pathlib
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from absl import flags

from experiments.benchmark.turns import select
from experiments.benchmark.workloads import NUM_BATCHES, WORKLOADS, Workload, make_batches
from experiments.runtime import cli
from experiments.web import markdown
from transformer.spec import DTYPES

_ACCELERATOR = "/device:"  # prefix of an accelerator's plane
_SUFFIX = re.compile(r"(\.\d+|\.clone|\.remat\d*)+$")  # distinguishes operations of one kind


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("work", "SMALL", f"workload, one of {', '.join(WORKLOADS)}")
    flags.DEFINE_enum("dtype", "float32", list(DTYPES), "dtype of the matmuls")
    flags.DEFINE_integer("updates", 3, "updates to profile", lower_bound=1)
    flags.DEFINE_integer("top", 12, "operations to show", lower_bound=1)
    flags.DEFINE_multi_string("ours", [], "setting to try, such as train.loss_chunk=512; may be repeated")


def main(args: cli.Args) -> None:
    """Profiles and prints."""
    with cli.runtime_errors(), cli.user_errors():
        workload = select([args.work], WORKLOADS, "--work")[args.work]._replace(dtype=args.dtype)
        profile = measure(workload, args.updates, args.ours)
        print(table(profile, args.top))
        print(json.dumps({"benchmark": "profile", "work": args.work, "ours": args.ours, **profile}))


class Event(NamedTuple):
    """One execution of an operation on a thread or stream; times are in nanoseconds."""

    plane: str  # name of the accelerator, or of the host
    line: str  # name of the thread or stream
    name: str
    start: float
    end: float


def measure(workload: Workload, updates: int, overrides: Sequence[str]) -> dict[str, Any]:
    """Profiles some updates, after three that compile and warm up."""
    from experiments.benchmark.peers.ours import OurTrainer

    trainer = OurTrainer(workload, make_batches(workload, NUM_BATCHES), overrides)

    def train(count: int) -> float:
        start = time.monotonic()
        for update in range(count):
            trainer.update(update % NUM_BATCHES)
        trainer.loss()
        return 1000 * (time.monotonic() - start) / count

    import jax

    train(3)
    milliseconds = train(updates)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            profiled_milliseconds = train(updates)
        file = next(pathlib.Path(folder).glob("**/*.xplane.pb"))
        events = list(read_events(jax.profiler.ProfileData.from_file(str(file))))
    if not events:
        print("warning: the profiler names no operations on this device", file=sys.stderr)
    return {
        "device": trainer.device,
        "dtype": trainer.dtype,
        "devices": jax.device_count(),
        "milliseconds": round(milliseconds, 2),
        "milliseconds_profiled": round(profiled_milliseconds, 2),
        **summarise(events, updates, jax.device_count()),
    }


def read_events(profile: Any) -> Iterable[Event]:
    """Yields the operations of XLA programs from a `jax.profiler.ProfileData`.

    If there are accelerators, the operations of their host are left out.
    """
    planes = list(profile.planes)
    accelerators = [plane for plane in planes if plane.name.startswith(_ACCELERATOR)]
    for plane in accelerators or planes:
        for line in plane.lines:
            for event in line.events:
                if name := dict(event.stats).get("hlo_op"):
                    start = event.start_ns
                    yield Event(plane.name, line.name, str(name), start, start + event.duration_ns)


def summarise(events: Sequence[Event], updates: int, devices: int) -> dict[str, Any]:
    """Returns the time of each kind of operation, and the fraction of the time in which devices are idle.

    `events` are the operations of `updates` updates on `devices` devices, in any order.

    Returns:
      "operations": lists of kind, milliseconds per update and executions per update, summed over devices, longest
      first; "busy_milliseconds" per update, summed over devices; "idle": fraction of the time from the first operation
      to the last.
    """
    time_by_kind, time_by_plane = defaultdict[str, float](float), defaultdict[str, float](float)
    count = Counter[str]()
    for event, own_time in _own_times(events):
        time_by_plane[event.plane] += own_time
        kind = _SUFFIX.sub("", event.name)
        time_by_kind[kind] += own_time
        count[kind] += 1
    span = max((event.end for event in events), default=0) - min((event.start for event in events), default=0)
    busy = sum(time_by_kind.values(), 0.0)
    # An accelerator's streams overlap. A CPU's simulated devices are one core each, so that its threads add up.
    covered = sum(
        _covered_time(events, plane) if plane.startswith(_ACCELERATOR) else own_time
        for plane, own_time in time_by_plane.items()
    )
    return {
        "operations": [
            [kind, round(nanoseconds / updates / 1e6, 3), round(count[kind] / updates, 1)]
            for kind, nanoseconds in sorted(time_by_kind.items(), key=lambda item: -item[1])
        ],
        "busy_milliseconds": round(busy / updates / 1e6, 3),
        "idle": round(max(0.0, 1 - covered / (span * devices)), 3) if span else None,
    }


def _own_times(events: Sequence[Event]) -> Iterable[tuple[Event, float]]:
    """Yields each operation with its time without the operations inside it."""
    by_line: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        by_line.setdefault((event.plane, event.line), []).append(event)
    for line in by_line.values():
        stack: list[tuple[Event, float]] = []  # nested operations, outermost first, each with its own time so far
        for event in sorted(line, key=lambda event: (event.start, -event.end)):
            while stack and stack[-1][0].end <= event.start:
                yield stack.pop()
            if stack:
                outer, own_time = stack.pop()
                stack.append((outer, own_time - (event.end - event.start)))
            stack.append((event, event.end - event.start))
        yield from stack


def _covered_time(events: Sequence[Event], plane: str) -> float:
    """Returns the time in which at least one operation runs on an accelerator."""
    total, end = 0.0, float("-inf")
    for event in sorted((event for event in events if event.plane == plane), key=lambda event: event.start):
        total += max(0.0, event.end - max(event.start, end))
        end = max(end, event.end)
    return total


def table(profile: dict[str, Any], top: int) -> str:
    """Returns a line about the step, and a Markdown table of its operations."""
    idle = "idle: unknown" if profile["idle"] is None else f"idle {100 * profile['idle']:.0f} % of the time"
    line = (
        f"{profile['milliseconds']:,.0f} ms per update, {profile['milliseconds_profiled']:,.0f} with the profiler; "
        f"{profile['devices']} × {profile['device']}, {idle}"
    )
    busy, operations = profile["busy_milliseconds"], profile["operations"]
    rows = [
        (kind, f"{milliseconds:,.1f}", f"{100 * milliseconds / busy:.0f}", f"{count:g}")
        for kind, milliseconds, count in operations[:top]
    ]
    rest = sum(milliseconds for _, milliseconds, _ in operations[top:])
    rows.append((f"{len(operations[top:])} others", f"{rest:,.1f}", "", ""))
    headers = ("operation", "ms per update, all devices", "%", "executions")
    return f"{line}\n\n{markdown.table(headers, rows)}"


if __name__ == "__main__":
    cli.run(define, main)
