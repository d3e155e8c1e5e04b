"""Compares the same training on different numbers of devices: its speed, and its losses with those of one device.

    python -m experiments.benchmark.devices --config=configs/quickstart.py [--counts=1,2,4,8] [--updates=20]

Trains with every partitioning of a number of devices. On a CPU, devices are simulated and share the cores, so more
devices show the cost of partitioning, not its gain. Each measurement runs in a separate process. Prints one JSON object
per measurement, with the largest relative difference of an update's loss from its loss on one device, and a table at
the end.
"""

import json
import os
import statistics
import tempfile
import time
from typing import Any

from absl import flags

from experiments.runtime import cli, config_files
from experiments.runtime.subprocesses import call
from experiments.web import markdown
from transformer.spec import Spec

# Partitionings of n devices: overrides of `parallel`. The remaining factor of the devices shards only the batch.
PARTITIONINGS: dict[str, dict[str, Any]] = {
    "mesh": {},
    "pmap": {"mode": "pmap"},
    "fsdp": {"fsdp": "all"},
    "tensor 2": {"tensor": 2},
    "fsdp 2, tensor 2": {"fsdp": 2, "tensor": 2},
}
_WARMUP = 3  # updates that are not timed


def define() -> None:
    """Defines the flags."""
    config_files.define_config_flag("config of the run")
    flags.DEFINE_list("counts", ["1", "2", "4", "8"], "numbers of devices")
    flags.DEFINE_integer("updates", 20, "updates per measurement", lower_bound=_WARMUP + 2)


def main(args: cli.Args) -> None:
    """Measures and prints."""
    if not args.config:
        cli.exit_with_error("--config is needed: --config=configs/quickstart.py")
    with cli.runtime_errors(), cli.user_errors(), tempfile.TemporaryDirectory() as folder:
        Spec.from_config(args.config)
        measurements = []
        for count in map(int, args.counts):
            for name, overrides in PARTITIONINGS.items():
                config = args.config.to_dict()
                config["parallel"] |= {key: count if value == "all" else value for key, value in overrides.items()}
                sharded = config["parallel"]["fsdp"] * config["parallel"]["tensor"]
                if (count == 1 and overrides) or sharded > count:
                    continue
                measurement = {"devices": count, "way": name} | call(measure, config, count, args.updates, folder)
                measurements.append(measurement)
                expected = measurements[0]["losses"]
                ratios = [loss / other for loss, other in zip(measurement["losses"], expected, strict=True)]
                measurement["off"] = max(abs(ratio - 1) for ratio in ratios)
                print(json.dumps({key: value for key, value in measurement.items() if key != "losses"}), flush=True)
        print(table(measurements))


def measure(config: dict[str, Any], count: int, updates: int, folder: str) -> dict[str, Any]:
    """Trains on `count` devices; returns the speed, the losses and the parameter bytes of a device.

    Call it in a process in which JAX has not started.
    """
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    from experiments.runtime import xla_env

    xla_env.prepare(0)
    import jax

    from experiments.runs.system import System
    from experiments.runs.training_data import TrainingData
    from experiments.runs.workdir import Workdir
    from transformer.data.corpus import open_corpus

    if len(jax.devices()) != count:
        raise ValueError(f"--counts: there are {len(jax.devices())} devices, not {count}")
    spec = Spec.from_config(config)
    data = TrainingData.open(spec.data, open_corpus(spec.data))
    system = System.make(spec, data.tokenizer(Workdir(folder)))
    plan, partitioner = system.plan(data.tokenize(system.tokenizer)), system.partitioner
    plan_shapes = dict.fromkeys(plan.shape(k) for k in range(updates))
    shapes = [(partitioner.padded_rows(shape.rows), shape.source, shape.target) for shape in plan_shapes]
    model, state_shapes = system.training_model, system.state_shapes()
    step = partitioner.compile_step_aot(model, spec.train, state_shapes, system.hyperparams, shapes)
    state, hyperparams = map(partitioner.put_state, (system.initial_state(), system.hyperparams))
    parameter_bytes = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state.params))
    batches = system.batches(plan, 0, partitioner)
    losses, speeds = [], []
    for _ in range(updates):
        batch = next(batches)
        start = time.monotonic()
        state, sums = step(state, batch.source, batch.target, hyperparams)
        tokens = float(sums.sums.weight)
        speeds.append(tokens / (time.monotonic() - start))
        losses.append(float(sums.sums.loss) / tokens)
    return {
        "tokens_per_second": round(statistics.median(speeds[_WARMUP:])),
        "parameter_bytes_a_device": parameter_bytes,
        "losses": losses,
        "device": jax.devices()[0].device_kind,
    }


def table(measurements: list[dict[str, Any]]) -> str:
    """Returns the measurements as a Markdown table."""
    headers = ("partitioning", "devices", "target tokens/s", "parameters per device, MB", "loss differs by")
    rows = []
    for result in measurements:
        speed, megabytes = f"{result['tokens_per_second']:,}", f"{result['parameter_bytes_a_device'] / 1e6:.2f}"
        rows.append((result["way"], str(result["devices"]), speed, megabytes, f"{result['off']:.1e}"))
    return markdown.table(headers, rows)


if __name__ == "__main__":
    cli.run(define, main)
