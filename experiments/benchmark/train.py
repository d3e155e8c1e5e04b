"""Compares the training speed of this codebase with other libraries, on the same workload, in alternating turns.

    python -m experiments.benchmark.train [--works=TINY,SMALL,BASE] [--peers=ours,pytorch,...] [--rounds=9 --updates=3]

A peer runs if it is installed. The extras `parity` and `interop` install PyTorch and Hugging Face in this environment;
each other library needs its own virtual environment, and its file under experiments/benchmark/peers has the command.
Prints one JSON object per measurement, and a table. Exit status 1 if the peers did not train the same model.
"""

import json
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Sequence

from absl import flags

from experiments.benchmark.libraries import GPU_ONLY, MATMUL_PEAK, TRAINING_PEERS
from experiments.benchmark.turns import Measurement, Peer, quartiles, select, speed_ratio, start_peers, take_turns
from experiments.benchmark.workloads import NUM_BATCHES, WORKLOADS, Workload, make_batches
from experiments.runtime import cli
from experiments.web import markdown
from transformer.spec import DTYPES

_MAX_PARAMETERS_OFF = 0.01  # relative difference of the numbers of parameters
_MAX_LOSS_FALL_OFF = 0.2  # relative difference of how far the losses fall


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_list("works", ["TINY", "SMALL", "BASE"], f"workloads, of {', '.join(WORKLOADS)}")
    peers = [name for name in TRAINING_PEERS if name not in GPU_ONLY]
    flags.DEFINE_list("peers", peers, f"peers to compare, ours first; on a GPU also {', '.join(GPU_ONLY)}")
    flags.DEFINE_integer("rounds", 9, "turns of each peer; the first is not counted", lower_bound=2)
    flags.DEFINE_integer("updates", 3, "updates per turn", lower_bound=1)
    flags.DEFINE_enum("dtype", "float32", list(DTYPES), "dtype of the matmuls")
    flags.DEFINE_string("environments", ".venv-peers", "folder of the libraries' virtual environments")
    flags.DEFINE_multi_string("ours", [], "setting of ours to try, such as train.loss_chunk=512; may be repeated")


def main(args: cli.Args) -> None:
    """Measures and prints."""
    with cli.runtime_errors(), cli.user_errors():
        workloads = select(args.works, WORKLOADS, "--works")
        peers = select(args.peers, TRAINING_PEERS, "--peers")
        for name in peers:
            if "ours" in name:
                peers[name] = peers[name]._replace(arguments=(*peers[name].arguments, *args.ours))
        if args.dtype == "bfloat16":
            peers.pop("ours-bfloat16", None)  # the same as ours
        faults = []
        for name, workload in workloads.items():
            workload = workload._replace(dtype=args.dtype)
            results = compare(workload, peers, args.rounds, args.updates, args.environments)
            for result in results:
                print(json.dumps({"benchmark": "train", "work": name, **result}), flush=True)
            print(table(name, results), flush=True)
            faults += [f"{name}: {fault}" for fault in differences(results)]
        for fault in faults:
            print(f"error: {fault}", file=sys.stderr)
        if faults:
            sys.exit(1)


def compare(workload: Workload, peers: dict[str, Peer], rounds: int, updates: int, folder: str) -> list[Measurement]:
    """Trains with each peer in alternating turns.

    Args:
      workload: the model and its batches.
      peers: peers by name.
      rounds: number of turns of each peer; the first is not counted.
      updates: updates per turn.
      folder: folder of the libraries' virtual environments.

    Returns:
      One measurement for each peer that can run, in the order of `peers`.
    """
    tokens = statistics.mean(batch.tokens for batch in make_batches(workload, NUM_BATCHES))
    with tempfile.TemporaryDirectory() as logs:
        text, environments = json.dumps(workload._asdict()), pathlib.Path(folder)
        with start_peers({"peak": MATMUL_PEAK} | peers, text, environments, pathlib.Path(logs)) as running:
            turns = take_turns(running, rounds, lambda _: str(updates))
    seconds = {name: [turn["seconds"] / updates for turn in results[1:]] for name, results in turns.items()}
    _, peak_description = running.pop("peak")
    peak = max(peak_description["parameters"] / duration for duration in seconds["peak"])
    measurements = []
    for name, (_, description) in running.items():
        low, median, high = quartiles(seconds[name])
        comparable = description["dtype"] == peak_description["dtype"]  # a CPU's peak is always float32
        measurements.append(
            {
                "peer": name,
                "shape": [workload.rows, workload.width],
                "dtype": description["dtype"],
                "device": description["device"],
                "cores": os.cpu_count(),
                "versions": description["versions"],
                "parameters": description["parameters"],
                "tokens_per_second": round(tokens / median),
                "milliseconds": [round(1000 * quartile, 1) for quartile in (low, median, high)],
                "matmul_flops": workload.matmul_flops,
                "matmul_peak": round(peak),
                "matmul_peak_dtype": peak_description["dtype"],
                "percent_of_peak": round(100 * workload.matmul_flops / median / peak, 1) if comparable else None,
                "peak_bytes": turns[name][-1]["peak_bytes"],
                "seconds_to_first_update": round(description["seconds_to_first_update"], 1),
                "loss": [round(loss, 4) for loss in (description["loss"], turns[name][-1]["loss"])],
                "ours_is_faster": speed_ratio(seconds[name], seconds.get("ours")),
            }
        )
    return measurements


def differences(measurements: Sequence[Measurement]) -> list[str]:
    """Returns why the peers of one workload did not train the same model; empty if they did."""
    faults = []
    first = measurements[0]
    first_fall = first["loss"][0] - first["loss"][1]
    for other in measurements[1:]:
        off = other["parameters"] / first["parameters"] - 1
        if abs(off) > _MAX_PARAMETERS_OFF:
            faults.append(f"{other['peer']} has {100 * off:+.1f} % of the parameters of {first['peer']}")
        if (other["device"] == "cpu") != (first["device"] == "cpu"):
            faults.append(f"{other['peer']} runs on {other['device']}, {first['peer']} on {first['device']}")
        fall = other["loss"][0] - other["loss"][1]
        if not (first_fall > 0 and abs(fall / first_fall - 1) <= _MAX_LOSS_FALL_OFF):
            falls = f"{fall:.3f}, that of {first['peer']} by {first_fall:.3f}"
            faults.append(f"the loss of {other['peer']} falls by {falls}")
    return faults


def table(name: str, measurements: Sequence[Measurement]) -> str:
    """Returns the measurements as a Markdown table."""
    rows = []
    for result in measurements:
        low, median, high = result["milliseconds"]
        speed, time = f"{result['tokens_per_second']:,}", f"{median:,.0f} ({low:,.0f} to {high:,.0f})"
        peak = "-" if result["percent_of_peak"] is None else f"{result['percent_of_peak']:.0f}"
        memory = f"{result['peak_bytes'] / 1e9:.2f}"
        rows.append((result["peer"], speed, time, peak, memory, str(result["ours_is_faster"] or "-")))
    columns = ("target tokens/s", "ms per update (quartiles)", "% of matmul peak", "memory, GB", "speed-up of ours")
    return markdown.table((name, *columns), rows)


if __name__ == "__main__":
    cli.run(define, main)
