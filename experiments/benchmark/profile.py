"""Where the time of a training step goes: what a profiler saw of some updates, summed up by operation.

    python -m experiments.benchmark.profile --work=SMALL [--dtype=bfloat16 --updates=3 --top=12 --ours=KEY=VALUE]

Prints a table and one JSON object last: the operations that take most of a device's time, and how much of it a device
has nothing to do. An operation that contains others, a loop or a call, counts for what is not theirs. Products that
a CPU's Eigen library begins on threads of its own are seen only as long as their beginning takes; they show as idle.
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

from experiments.benchmark import works
from experiments.benchmark.turns import known
from experiments.runtime import cli
from transformer.spec import DTYPES

_ACCELERATOR = "/device:"  # how the names of their planes begin
_NUMBER = re.compile(r"(\.\d+|\.clone|\.remat\d*)+$")  # of an operation, among those of its kind


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("work", "SMALL", f"one of {', '.join(works.WORKS)}")
    flags.DEFINE_enum("dtype", "float32", list(DTYPES), "of products")
    flags.DEFINE_integer("updates", 3, "that are looked at", lower_bound=1)
    flags.DEFINE_integer("top", 12, "operations that are shown", lower_bound=1)
    flags.DEFINE_multi_string("ours", [], "a setting that is tried: train.loss_chunk=512")


def main(args: cli.Args) -> None:
    """Profiles and prints."""
    with cli.failures(), cli.mistakes():
        work = known([args.work], works.WORKS, "--work")[args.work]._replace(dtype=args.dtype)
        found = measure(work, args.updates, args.ours)
        print(table(found, args.top))
        print(json.dumps({"benchmark": "profile", "work": args.work, "ours": args.ours, **found}))


class Event(NamedTuple):
    """An operation on a thread or stream.

    Attributes:
      plane: which accelerator, or the host.
      line: which thread or stream.
      name: of the operation.
      begin, end: in nanoseconds.
    """

    plane: str
    line: str
    name: str
    begin: float
    end: float


def measure(work: works.Work, updates: int, changes: Sequence[str]) -> dict[str, Any]:
    """What a profiler sees of some updates, after three that compile and warm up."""
    from experiments.benchmark.peers.ours import Ours

    trainer = Ours(work, works.batches(work, works.NUMBER), changes)

    def train(count: int) -> float:
        begun = time.monotonic()
        for number in range(count):
            trainer.update(number % works.NUMBER)
        trainer.loss()
        return 1000 * (time.monotonic() - begun) / count

    import jax

    train(3)
    plain = train(updates)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            profiled = train(updates)
        file = next(pathlib.Path(folder).glob("**/*.xplane.pb"))
        seen = list(events(jax.profiler.ProfileData.from_file(str(file))))
    if not seen:
        print("warning: the profiler names no operations on this device", file=sys.stderr)
    return {
        "device": trainer.device,
        "dtype": trainer.dtype,
        "devices": jax.device_count(),
        "milliseconds": round(plain, 2),
        "milliseconds_profiled": round(profiled, 2),
        **summary(seen, updates, jax.device_count()),
    }


def events(profile: Any) -> Iterable[Event]:
    """The operations that XLA's programs consist of, from a `jax.profiler.ProfileData`.

    Those of accelerators, if there are any: what their host does beside them is not theirs.
    """
    planes = list(profile.planes)
    for plane in [each for each in planes if each.name.startswith(_ACCELERATOR)] or planes:
        for line in plane.lines:
            for event in line.events:
                if name := dict(event.stats).get("hlo_op"):
                    begin = event.start_ns
                    yield Event(plane.name, line.name, str(name), begin, begin + event.duration_ns)


def summary(seen: Sequence[Event], updates: int, devices: int) -> dict[str, Any]:
    """How long each kind of operation takes, and how much of the time of all devices nothing does.

    Args:
      seen: the operations, in any order.
      updates: how many they are of.
      devices: that did them.

    Returns:
      "operations": [kind, milliseconds an update, how many an update], of all devices together, longest first;
      "busy_milliseconds" an update of all of them; "idle": a share of the time from the first operation to the last.
    """
    spent, by_plane, count = defaultdict[str, float](float), defaultdict[str, float](float), Counter[str]()
    for event, own in _own_times(seen):
        by_plane[event.plane] += own
        kind = _NUMBER.sub("", event.name)
        spent[kind] += own
        count[kind] += 1
    span = max((event.end for event in seen), default=0) - min((event.begin for event in seen), default=0)
    busy = sum(spent.values(), 0.0)
    # Streams of an accelerator run side by side; of a CPU, whose devices are a core each, threads are what is busy.
    worked = sum(_covered(seen, plane) if plane.startswith(_ACCELERATOR) else own for plane, own in by_plane.items())
    return {
        "operations": [
            [kind, round(nanoseconds / updates / 1e6, 3), round(count[kind] / updates, 1)]
            for kind, nanoseconds in sorted(spent.items(), key=lambda item: -item[1])
        ],
        "busy_milliseconds": round(busy / updates / 1e6, 3),
        "idle": round(max(0.0, 1 - worked / (span * devices)), 3) if span else None,
    }


def _own_times(seen: Sequence[Event]) -> Iterable[tuple[Event, float]]:
    """Each operation with the time that it did not spend in others on its line."""
    by_line: dict[tuple[str, str], list[Event]] = {}
    for event in seen:
        by_line.setdefault((event.plane, event.line), []).append(event)
    for line in by_line.values():
        open_: list[tuple[Event, float]] = []  # each within the one before, with what is left of its time
        for event in sorted(line, key=lambda each: (each.begin, -each.end)):
            while open_ and open_[-1][0].end <= event.begin:
                yield open_.pop()
            if open_:
                outer, left = open_.pop()
                open_.append((outer, left - (event.end - event.begin)))
            open_.append((event, event.end - event.begin))
        yield from open_


def _covered(seen: Sequence[Event], plane: str) -> float:
    """For how long anything was done on an accelerator."""
    total, end = 0.0, float("-inf")
    for event in sorted((event for event in seen if event.plane == plane), key=lambda each: each.begin):
        total += max(0.0, event.end - max(event.begin, end))
        end = max(end, event.end)
    return total


def table(found: dict[str, Any], top: int) -> str:
    """What was found, in Markdown."""
    lines = [
        f"{found['milliseconds']:,.0f} ms an update, {found['milliseconds_profiled']:,.0f} with the profiler; "
        f"{found['devices']} × {found['device']}, "
        + ("idle: not known" if found["idle"] is None else f"idle {100 * found['idle']:.0f} % of the time"),
        "",
        "| operation | ms an update, all devices | % | how many |",
        "|---|---|---|---|",
    ]
    busy = found["busy_milliseconds"]
    lines += [
        f"| {kind} | {milliseconds:,.1f} | {100 * milliseconds / busy:.0f} | {count:g} |"
        for kind, milliseconds, count in found["operations"][:top]
    ]
    rest = sum(milliseconds for _, milliseconds, _ in found["operations"][top:])
    return "\n".join([*lines, f"| {len(found['operations'][top:])} others | {rest:,.1f} | | |"])


if __name__ == "__main__":
    cli.run(define, main)
