"""How fast training is here and with other libraries, on the same work, in turns.

    python -m experiments.benchmark.train [--works=TINY,SMALL,BASE] [--peers=ours,pytorch,...] [--rounds=9 --updates=3]

Peers run where they are installed: with the extras `parity` and `interop`, PyTorch and Hugging Face do in this
environment; others in one of their own, which a line in the file of each under experiments/benchmark/peers makes.
Prints a JSON object a measurement, and a table. Exit status 1 if what was compared was not the same.
"""

import json
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.benchmark import works
from experiments.benchmark.turns import Peer, known, quartiles, ratio, take, workers
from experiments.runtime import cli
from transformer.spec import DTYPES

_HERE = "experiments.benchmark.peers"
PEERS = {
    "ours": Peer(f"{_HERE}.ours"),
    "ours-bfloat16": Peer(f"{_HERE}.ours", arguments=("model.dtype=bfloat16",)),  # beside float32 of others
    "ours-cudnn": Peer(f"{_HERE}.ours", arguments=("model.dtype=bfloat16", "model.attention_kernel=cudnn")),
    "pytorch": Peer(f"{_HERE}.pytorch", "pytorch"),
    "pytorch-compiled": Peer(f"{_HERE}.pytorch", "pytorch", ("compile",)),
    "hugging-face": Peer(f"{_HERE}.hugging_face", "hugging"),
    "hugging-face-compiled": Peer(f"{_HERE}.hugging_face", "hugging", ("compile",)),
    "eole": Peer(f"{_HERE}.eole_toolkit", "eole"),
    "joeynmt": Peer(f"{_HERE}.joeynmt_toolkit", "joeynmt"),
    "marian": Peer(f"{_HERE}.marian_toolkit", "marian"),
    "flax-wmt": Peer(f"{_HERE}.flax_wmt", "flax"),
}
_ON_GPU = ("ours-cudnn",)  # elsewhere the same as ours-bfloat16
_PEAK = Peer(f"{_HERE}.peak")
_PARAMETERS = 0.01  # how far models may differ in size
_FALL = 0.2  # and in how far their losses fall


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_list("works", ["TINY", "SMALL", "BASE"], f"of {', '.join(works.WORKS)}")
    flags.DEFINE_list(
        "peers",
        [name for name in PEERS if name not in _ON_GPU],
        f"what is compared, ours first; on a GPU {', '.join(_ON_GPU)}, too",
    )
    flags.DEFINE_integer("rounds", 9, "turns of each; the first is not counted", lower_bound=2)
    flags.DEFINE_integer("updates", 3, "of a turn", lower_bound=1)
    flags.DEFINE_enum("dtype", "float32", list(DTYPES), "of products")
    flags.DEFINE_string("environments", ".venv-peers", "folder with virtual environments of libraries")
    flags.DEFINE_multi_string("ours", [], "a setting of ours that is tried: train.loss_chunk=512")


def main(args: cli.Args) -> None:
    """Measures and prints."""
    with cli.failures(), cli.mistakes():
        named = known(args.works, works.WORKS, "--works")
        tried = tuple(args.ours)
        ours = {name: each._replace(arguments=each.arguments + tried) for name, each in PEERS.items() if "ours" in name}
        peers = known(args.peers, PEERS | ours, "--peers")
        if args.dtype == "bfloat16":
            peers.pop("ours-bfloat16", None)  # the same as ours
        faults = []
        for name, work in named.items():
            work = work._replace(dtype=args.dtype)
            found = compare(work, peers, args.rounds, args.updates, args.environments)
            for each in found:
                print(json.dumps({"benchmark": "train", "work": name, **each}), flush=True)
            print(table(name, found), flush=True)
            faults += [f"{name}: {fault}" for fault in differences(found)]
        for fault in faults:
            print(f"error: {fault}", file=sys.stderr)
        if faults:
            sys.exit(1)


def compare(
    work: works.Work, peers: dict[str, Peer], rounds: int, updates: int, environments: str
) -> list[dict[str, Any]]:
    """Trains with each of the peers in turns, a few updates at a time.

    Args:
      work: the model and its batches.
      peers: by name.
      rounds: how many turns each has; the first is not counted.
      updates: of a turn.
      environments: folder with virtual environments of libraries.

    Returns:
      What was measured, in the order of the peers that could run.
    """
    tokens = statistics.mean(batch.tokens for batch in works.batches(work, works.NUMBER))
    with tempfile.TemporaryDirectory() as logs:
        text, folder = json.dumps(work._asdict()), pathlib.Path(environments)
        with workers({"peak": _PEAK} | peers, text, folder, pathlib.Path(logs)) as running:
            turns = take(running, rounds, lambda _: str(updates))
    seconds = {name: [each["seconds"] / updates for each in found[1:]] for name, found in turns.items()}
    said = {name: about for name, (_, about) in running.items()}
    peak = max(said["peak"]["parameters"] / each for each in seconds["peak"])
    result = []
    for name in turns:
        if name == "peak":
            continue
        low, middle, high = quartiles(seconds[name])
        comparable = said[name]["dtype"] == said["peak"]["dtype"]  # a CPU's peak is always measured in float32
        result.append(
            {
                "peer": name,
                "shape": [work.rows, work.width],
                "dtype": said[name]["dtype"],
                "device": said[name]["device"],
                "cores": os.cpu_count(),
                "versions": said[name]["versions"],
                "parameters": said[name]["parameters"],
                "tokens_per_second": round(tokens / middle),
                "milliseconds": [round(1000 * each, 1) for each in (low, middle, high)],
                "matmul_flops": work.matmul_flops,
                "matmul_peak": round(peak),
                "matmul_peak_dtype": said["peak"]["dtype"],
                "percent_of_peak": round(100 * work.matmul_flops / middle / peak, 1) if comparable else None,
                "peak_bytes": turns[name][-1]["peak_bytes"],
                "seconds_to_first_update": round(said[name]["seconds_to_first_update"], 1),
                "loss": [round(each, 4) for each in (said[name]["loss"], turns[name][-1]["loss"])],
                "ours_is_faster": ratio(seconds[name], seconds.get("ours")),
            }
        )
    return result


def differences(found: Sequence[dict[str, Any]]) -> list[str]:
    """Why the measurements of one work are not of the same thing; empty if they are."""
    faults = []
    first = found[0]
    fall = first["loss"][0] - first["loss"][1]
    for each in found[1:]:
        off = each["parameters"] / first["parameters"] - 1
        if abs(off) > _PARAMETERS:
            faults.append(f"{each['peer']} has {100 * off:+.1f} % of the parameters of {first['peer']}")
        if (each["device"] == "cpu") != (first["device"] == "cpu"):
            faults.append(f"{each['peer']} runs on {each['device']}, {first['peer']} on {first['device']}")
        other = each["loss"][0] - each["loss"][1]
        if not (fall > 0 and abs(other / fall - 1) <= _FALL):
            faults.append(f"the loss of {each['peer']} falls by {other:.3f}, that of {first['peer']} by {fall:.3f}")
    return faults


def table(name: str, found: Sequence[dict[str, Any]]) -> str:
    """What was found, in Markdown."""
    lines = [
        f"| {name} | target tokens/s | ms an update (quartiles) | % of the matmul peak | memory, GB | ours is × |",
        "|---|---|---|---|---|---|",
    ]
    for each in found:
        low, middle, high = each["milliseconds"]
        share = "-" if each["percent_of_peak"] is None else f"{each['percent_of_peak']:.0f}"
        lines.append(
            f"| {each['peer']} | {each['tokens_per_second']:,} | {middle:,.0f} ({low:,.0f} to {high:,.0f}) | "
            f"{share} | {each['peak_bytes'] / 1e9:.2f} | {each['ours_is_faster'] or '-'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(define, main)
