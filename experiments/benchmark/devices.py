"""The same training on more and more devices, shared in every way: how fast, and how far from one device.

    python -m experiments.benchmark.devices --config=configs/quickstart.py [--counts=1,2,4,8] [--updates=20]

On a CPU, devices are simulated: they share the cores, so that more of them show what dividing costs, not what it gains.
Each measurement is a process of its own. Prints one JSON object for each, with the largest relative difference of any
update's loss to that on one device, and a table at the end.
"""

import json
import os
import statistics
import tempfile
import time
from typing import Any

from absl import flags
from ml_collections import config_flags

from experiments.runtime import cli
from experiments.runtime.subprocesses import result_of
from transformer.spec import Spec

# Ways to share among n devices: changes of `parallel`. What is not divided by fsdp or tensor divides batches alone.
WAYS: dict[str, dict[str, Any]] = {
    "mesh": {},
    "pmap": {"mode": "pmap"},
    "fsdp": {"fsdp": "all"},
    "tensor 2": {"tensor": 2},
    "fsdp 2, tensor 2": {"fsdp": 2, "tensor": 2},
}
_FIRST = 3  # updates that are not timed


def define() -> None:
    """Defines the flags."""
    config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT")
    flags.DEFINE_list("counts", ["1", "2", "4", "8"], "numbers of devices")
    flags.DEFINE_integer("updates", 20, "made in each measurement", lower_bound=_FIRST + 2)


def main(args: cli.Args) -> None:
    """Measures and prints."""
    if not args.config:
        cli.refuse("--config is needed: --config=configs/quickstart.py")
    with cli.failures(), cli.mistakes(), tempfile.TemporaryDirectory() as folder:
        Spec.from_config(args.config)
        found = []
        for count in map(int, args.counts):
            for way, changes in WAYS.items():
                config = args.config.to_dict()
                config["parallel"] |= {key: count if value == "all" else value for key, value in changes.items()}
                divided = config["parallel"]["fsdp"] * config["parallel"]["tensor"]
                if (count == 1 and changes) or divided > count:
                    continue
                each = {"devices": count, "way": way} | result_of(measure, config, count, args.updates, folder)
                found.append(each)
                expected = found[0]["losses"]
                off = max(abs(one / other - 1) for one, other in zip(each["losses"], expected, strict=True))
                each["off"] = off
                print(json.dumps({key: value for key, value in each.items() if key != "losses"}), flush=True)
        print(table(found))


def measure(config: dict[str, Any], count: int, updates: int, folder: str) -> dict[str, Any]:
    """Trains on `count` devices; says how fast, with what losses, and what a device had to hold. In a new process."""
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    from experiments.runtime import xla_env

    xla_env.prepare(0)
    import jax

    from experiments.runs import system
    from experiments.runs.training_data import TrainingSplit
    from experiments.runs.workdir import Workdir
    from transformer.data.corpus import open_corpus

    if len(jax.devices()) != count:
        raise ValueError(f"--counts: there are {len(jax.devices())} devices, not {count}")
    spec = Spec.from_config(config)
    split = TrainingSplit.of(spec.data, open_corpus(spec.data))
    system = system.System.make(spec, split.tokenizer(Workdir(folder)))
    plan, placement = system.plan(split.tokenized(system.tokenizer)), system.placement
    shapes = list(dict.fromkeys(plan.shape(number) for number in range(updates)))
    shapes = [(placement.rows(shape.rows), shape.source, shape.target) for shape in shapes]
    step = placement.compile_shapes(system.learner, system.spec.train, system.state_shapes(), system.numbers, shapes)
    state, numbers = placement.distribute(system.fresh_state()), placement.distribute(system.numbers)
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state.params))
    batches = system.batches(plan, 0, placement)
    losses, speeds = [], []
    for _ in range(updates):
        batch = next(batches)
        begun = time.monotonic()
        state, sums = step(state, batch.source, batch.target, numbers)
        tokens = float(sums.sums.weight)
        speeds.append(tokens / (time.monotonic() - begun))
        losses.append(float(sums.sums.loss) / tokens)
    return {
        "tokens_per_second": round(statistics.median(speeds[_FIRST:])),
        "parameter_bytes_a_device": held,
        "losses": losses,
        "device": jax.devices()[0].device_kind,
    }


def table(found: list[dict[str, Any]]) -> str:
    """What was found, in Markdown."""
    lines = ["| devices | way | target tokens/s | parameters a device, MB | loss, off by |", "|---|---|---|---|---|"]
    lines += [
        f"| {each['devices']} | {each['way']} | {each['tokens_per_second']:,} | "
        f"{each['parameter_bytes_a_device'] / 1e6:.2f} | {each['off']:.1e} |"
        for each in found
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(define, main)
