"""Compares the decoding speed of a run's model in this codebase, Hugging Face's `generate` and CTranslate2.

    python -m experiments.benchmark.decode --workdir=D [--split=test] [--beams=1,5] [--rounds=4]

Exports the model first, which needs the extras `interop` and `ctranslate2`. Peers run as those of `benchmark.train` do,
in alternating turns. Each turn translates the complete split, from text to text. Prints one JSON object per
measurement, and a table.
"""

import json
import os
import pathlib
import tempfile
from typing import Any

from absl import flags

from experiments.benchmark.libraries import DECODING_PEERS
from experiments.benchmark.peer_export import export_for_peers
from experiments.benchmark.turns import Peer, quartiles, select, speed_ratio, start_peers, take_turns
from experiments.runtime import cli
from experiments.web import markdown


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("workdir", None, "folder of a run")
    flags.DEFINE_string("split", None, "split of its corpus; default: its test split")
    flags.DEFINE_list("beams", ["1", "5"], "beam sizes; 1 is greedy")
    flags.DEFINE_integer("batch_size", 64, "sentences per batch", lower_bound=1)
    flags.DEFINE_list("peers", list(DECODING_PEERS), "peers to compare, ours first")
    flags.DEFINE_integer("rounds", 4, "turns of each peer; the first, which compiles, is reported separately", 2)
    flags.DEFINE_string("environments", ".venv-peers", "folder of the libraries' virtual environments")


def main(args: cli.Args) -> None:
    """Measures and prints."""
    if not args.workdir:
        cli.exit_with_error("--workdir is needed: the folder of a run")
    with cli.runtime_errors(), cli.user_errors(), tempfile.TemporaryDirectory() as folder:
        peers = select(args.peers, DECODING_PEERS, "--peers")
        settings = export_for_peers(args.workdir, args.split, pathlib.Path(folder))
        settings["batch_size"] = args.batch_size
        for beam_size in map(int, args.beams):
            settings["beam_size"] = beam_size
            measurements = compare(settings, peers, args.rounds, args.environments)
            for measurement in measurements:
                print(json.dumps({"benchmark": "decode", "beam_size": beam_size, **measurement}), flush=True)
            print(table(beam_size, measurements), flush=True)


def compare(settings: dict[str, Any], peers: dict[str, Peer], rounds: int, environments: str) -> list[dict[str, Any]]:
    """Translates with each peer in alternating turns.

    Args:
      settings: search settings and paths, from `export_for_peers`.
      peers: peers by name.
      rounds: number of turns of each peer; the first is reported separately.
      environments: folder of the libraries' virtual environments.

    Returns:
      One measurement for each peer that can run, in the order of `peers`.
    """
    folder = pathlib.Path(settings["folder"])
    with start_peers(peers, json.dumps(settings), pathlib.Path(environments), folder) as running:
        turns = take_turns(running, rounds, lambda name: str(folder / f"{name}.txt"))
    translations = {name: (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines() for name in turns}
    seconds = {name: [turn["seconds"] for turn in results[1:]] for name, results in turns.items()}
    first = next(iter(turns), "")
    measurements = []
    for name, (_, description) in running.items():
        low, median, high = quartiles(seconds[name])
        same = sum(line == ours for line, ours in zip(translations[name], translations[first], strict=True))
        measurements.append(
            {
                "peer": name,
                "versions": description["versions"],
                "cores": os.cpu_count(),
                "sentences": description["sentences"],
                "sentences_per_second": round(description["sentences"] / median, 1),
                "seconds": [round(quartile, 2) for quartile in (low, median, high)],
                "first_seconds": round(turns[name][0]["seconds"], 2),
                "peak_bytes": turns[name][-1]["peak_bytes"],
                "same_as_ours": same,
                "ours_is_faster": speed_ratio(seconds[name], seconds.get("ours")),
            }
        )
    return measurements


def table(beam_size: int, measurements: list[dict[str, Any]]) -> str:
    """Returns the measurements as a Markdown table."""
    name = f"beam {beam_size}" if beam_size > 1 else "greedy"
    columns = ("sentences/s", "first turn, s", "same as ours", "memory, GB", "speed-up of ours")
    rows = []
    for result in measurements:
        speed, seconds = f"{result['sentences_per_second']:,.0f}", f"{result['first_seconds']:.1f}"
        same, memory = f"{result['same_as_ours']} of {result['sentences']}", f"{result['peak_bytes'] / 1e9:.2f}"
        rows.append((result["peer"], speed, seconds, same, memory, str(result["ours_is_faster"] or "-")))
    return markdown.table((name, *columns), rows)


if __name__ == "__main__":
    cli.run(define, main)
