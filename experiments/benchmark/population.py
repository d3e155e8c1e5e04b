"""Several runs in one program: how many target tokens of all members a second, against one run alone.

    python -m experiments.benchmark.population [--work=TINY] [--members=1,2,4,8,16] [--updates=12] [--repeats=3]

What `experiments.sweep --population` trains together, each member with its own batches, rates and state. Each
measurement is a process of its own, and all of them are taken in turns, so that a machine that drifts does so for all.
Prints one JSON object for each, and a table of medians at the end.
"""

import json
import statistics
import time
from typing import Any

from absl import flags

from experiments.benchmark import works
from experiments.runtime import cli
from experiments.runtime.subprocesses import result_of

_FIRST = 3  # updates that are not timed


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_enum("work", "TINY", list(works.WORKS), "size of the model and of its batches")
    flags.DEFINE_list("members", ["1", "2", "4", "8", "16"], "numbers of runs that are trained together")
    flags.DEFINE_integer("updates", 12, "made in each measurement", lower_bound=_FIRST + 2)
    flags.DEFINE_integer("repeats", 3, "measurements of each number", lower_bound=1)


def main(args: cli.Args) -> None:
    """Measures and prints."""
    counts = [_count(text) for text in args.members]
    with cli.failures(), cli.mistakes():
        found: dict[int, list[dict[str, Any]]] = {count: [] for count in counts}
        for _ in range(args.repeats):
            for count in counts:
                each = {"members": count} | result_of(measure, works.WORKS[args.work], count, args.updates)
                found[count].append(each)
                print(json.dumps({"work": args.work} | each), flush=True)
        print(table(found))


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        cli.refuse(f"--members={text}: numbers of at least 1, with commas between")
    return int(text)


def measure(work: works.Work, members: int, updates: int) -> dict[str, Any]:
    """Trains so many members; says how fast all of them are, and what they need. In a new process."""
    from experiments.benchmark.peers import ours, worker
    from experiments.runtime import xla_env
    from transformer.spec import Spec

    config = ours.config(work)
    xla_env.prepare(config["parallel"]["cpu_devices"])
    import jax
    import numpy as np

    from experiments.runs.system import System
    from transformer.training import population
    from transformer.training.parallel import PopulationPlacement

    # Seeds and learning rates differ, as they do in a sweep.
    specs = []
    for seed in range(members):
        config["train"] |= {"seed": seed, "learning_rate": ours.LEARNING_RATE * (1 + seed / 16)}
        specs.append(Spec.from_config(config))
    system = System.without_text(specs[0])
    states = [system.beside(spec).fresh_state() for spec in specs]
    given = [works.batches(work, works.NUMBER, spec.train.seed) for spec in specs]
    if members == 1:
        place, state, numbers = system.placement, states[0], system.numbers
        batches = given[0]
    else:
        place = PopulationPlacement(members, options=system.placement.options)
        state, numbers = population.stack(states), population.numbers(specs)
        batches = [
            works.Batch(*(np.stack(side) for side in zip(*each, strict=True))) for each in zip(*given, strict=True)
        ]
    del states
    state, numbers = place.distribute(state), place.distribute(numbers)
    placed = [tuple(place.shard(side) for side in batch) for batch in batches]
    step = place.compile_step(system.model, system.spec.train)
    speeds, sums = [], None
    for number in range(updates):
        begun = time.monotonic()
        state, sums = step(state, *placed[number % len(placed)], numbers)
        jax.block_until_ready(sums)
        speeds.append(batches[number % len(batches)].tokens / (time.monotonic() - begun))
    assert sums is not None
    loss = np.atleast_1d(np.asarray(sums.sums.loss) / np.asarray(sums.sums.weight))
    if not np.isfinite(loss).all():
        raise ValueError(f"the losses of {members} members are {loss}: this measures nothing")
    memory = jax.devices()[0].memory_stats()
    return {
        "tokens_per_second": round(statistics.median(speeds[_FIRST:])),
        "peak_bytes": memory["peak_bytes_in_use"] if memory else worker.process_peak(),
        "losses": [round(float(each), 4) for each in loss],
        "devices": jax.device_count(),
        "device": jax.devices()[0].device_kind,
    }


def table(found: dict[int, list[dict[str, Any]]]) -> str:
    """What was found, in Markdown."""
    lines = ["| models | target tokens/s of all | of each | × one alone | GB |", "|---|---|---|---|---|"]
    first = None
    for count, each in found.items():
        speed = statistics.median(one["tokens_per_second"] for one in each)
        first = first or speed
        peak = max(one["peak_bytes"] for one in each) / 1e9
        lines.append(f"| {count} | {speed:,.0f} | {speed / count:,.0f} | {speed / first:.2f} | {peak:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(define, main)
