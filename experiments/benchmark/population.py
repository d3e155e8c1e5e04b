"""Measures populations: target tokens per second of several runs in one program, compared with one run.

    python -m experiments.benchmark.population [--work=TINY] [--members=1,2,4,8,16] [--updates=12] [--repeats=3]

A population is what `experiments.sweep --population` trains; each member has its own batches, hyperparameters and
state. Each measurement runs in its own process. The population sizes alternate, so that a slow phase of the machine
affects all of them. Prints one JSON object per measurement, and a table of medians at the end.
"""

import json
import statistics
import time
from typing import Any

import numpy as np
from absl import flags

from experiments.benchmark.workloads import NUM_BATCHES, WORKLOADS, SentenceBatch, Workload, make_batches
from experiments.runtime import cli
from experiments.runtime.subprocesses import call
from experiments.web import markdown

_WARMUP = 3  # updates that are not timed


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_enum("work", "TINY", list(WORKLOADS), "workload of each member")
    flags.DEFINE_list("members", ["1", "2", "4", "8", "16"], "population sizes")
    flags.DEFINE_integer("updates", 12, "updates per measurement", lower_bound=_WARMUP + 2)
    flags.DEFINE_integer("repeats", 3, "measurements of each population size", lower_bound=1)


def main(args: cli.Args) -> None:
    """Measures and prints."""
    if wrong := [text for text in args.members if not text.isdigit() or int(text) < 1]:
        cli.exit_with_error(f"--members={wrong[0]}: expected integers of at least 1, separated by commas")
    sizes = [int(text) for text in args.members]
    with cli.runtime_errors(), cli.user_errors():
        measurements: dict[int, list[dict[str, Any]]] = {size: [] for size in sizes}
        for _ in range(args.repeats):
            for size in sizes:
                measurement = {"members": size} | call(measure, WORKLOADS[args.work], size, args.updates)
                measurements[size].append(measurement)
                print(json.dumps({"work": args.work} | measurement), flush=True)
        print(table(measurements))


def measure(workload: Workload, members: int, updates: int) -> dict[str, Any]:
    """Trains a population; returns its speed, its memory and the loss of each member.

    Call it in a process in which JAX has not started. Raises ValueError if a loss is not finite.
    """
    from experiments.benchmark.peers import ours, worker
    from experiments.runtime import xla_env
    from transformer.spec import Spec

    config = ours.workload_config(workload)
    xla_env.prepare(config["parallel"]["cpu_devices"])
    import jax

    from experiments.runs.system import System
    from transformer.training import population
    from transformer.training.parallel import PopulationPartitioner

    specs = [Spec.from_config(_member_config(config, member)) for member in range(members)]
    system = System.without_corpus(specs[0])
    states = [system.with_spec(spec).initial_state() for spec in specs]
    member_batches = [make_batches(workload, NUM_BATCHES, spec.train.seed) for spec in specs]
    if members == 1:
        partitioner, state, hyperparams = system.partitioner, states[0], system.hyperparams
        batches = member_batches[0]
    else:
        options, precision = system.partitioner.options, system.partitioner.matmul_precision
        partitioner = PopulationPartitioner(members, options=options, matmul_precision=precision)
        state, hyperparams = population.stack(states), population.hyperparams(specs)
        # The first axis of a population's batch is its members.
        batches = [SentenceBatch(*map(np.stack, zip(*step, strict=True))) for step in zip(*member_batches, strict=True)]
    del states
    state, hyperparams = map(partitioner.put_state, (state, hyperparams))
    device_batches = [tuple(partitioner.shard(side) for side in batch) for batch in batches]
    step = partitioner.compile_step(system.model, system.spec.train)
    speeds, sums = [], None
    for index in (update % NUM_BATCHES for update in range(updates)):
        start = time.monotonic()
        state, sums = step(state, *device_batches[index], hyperparams)
        jax.block_until_ready(sums)
        speeds.append(batches[index].tokens / (time.monotonic() - start))
    assert sums is not None
    losses = np.atleast_1d(np.asarray(sums.sums.loss) / np.asarray(sums.sums.weight))
    if not np.isfinite(losses).all():
        raise ValueError(f"the losses of {members} members are {losses}: the measurement is invalid")
    return {
        "tokens_per_second": round(statistics.median(speeds[_WARMUP:])),
        "peak_bytes": worker.device_peak_bytes(jax.devices()[0]),
        "losses": [round(float(loss), 4) for loss in losses],
        "devices": jax.device_count(),
        "device": jax.devices()[0].device_kind,
    }


def _member_config(config: dict[str, Any], member: int) -> dict[str, Any]:
    """Returns the config of a member; seeds and learning rates differ, as they do in a sweep."""
    rate = config["train"]["learning_rate"] * (1 + member / 16)
    return config | {"train": config["train"] | {"seed": member, "learning_rate": rate}}


def table(measurements: dict[int, list[dict[str, Any]]]) -> str:
    """Returns the medians as a Markdown table."""
    rows, first_speed = [], None
    for size, repeats in measurements.items():
        speed = statistics.median(repeat["tokens_per_second"] for repeat in repeats)
        first_speed = first_speed or speed
        peak = max(repeat["peak_bytes"] for repeat in repeats) / 1e9
        rows.append((str(size), f"{speed:,.0f}", f"{speed / size:,.0f}", f"{speed / first_speed:.2f}", f"{peak:.1f}"))
    headers = ("members", "target tokens/s of all", "of each", "speed-up", "memory, GB")
    return markdown.table(headers, rows, text_columns=0)


if __name__ == "__main__":
    cli.run(define, main)
