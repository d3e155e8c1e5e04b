"""How fast a model of ours translates here, in Hugging Face's `generate` and in CTranslate2, in turns.

    python -m experiments.benchmark.decode --workdir=D [--split=test] [--beams=1,5] [--rounds=4]

The model is exported first, with the extras `interop` and `ctranslate2`; peers run as those of `benchmark.train` do.
Each turn is the whole split, from text to text. Prints a JSON object a measurement, and a table.
"""

import json
import os
import pathlib
import tempfile
from typing import Any

from absl import flags

from experiments.benchmark.turns import Peer, known, quartiles, ratio, take, workers
from experiments.runtime import cli

_HERE = "experiments.benchmark.peers"
PEERS = {
    "ours": Peer(f"{_HERE}.our_search"),
    "ours-bfloat16": Peer(f"{_HERE}.our_search", arguments=("bfloat16",)),  # beside float32 of others
    "hugging-face": Peer(f"{_HERE}.hugging_face_search", "hugging"),
    "ctranslate2": Peer(f"{_HERE}.ctranslate2_search", "ctranslate2", ("float32",)),
    "ctranslate2-int8": Peer(f"{_HERE}.ctranslate2_search", "ctranslate2", ("int8",)),
}


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("workdir", None, "folder of a run")
    flags.DEFINE_string("split", None, "of its corpus; default: its test split")
    flags.DEFINE_list("beams", ["1", "5"], "beam sizes; 1 is greedy")
    flags.DEFINE_integer("batch_size", 64, "sentences searched at a time", lower_bound=1)
    flags.DEFINE_list("peers", list(PEERS), "what is compared, ours first")
    flags.DEFINE_integer("rounds", 4, "turns of each; the first, which compiles, is told apart", lower_bound=2)
    flags.DEFINE_string("environments", ".venv-peers", "folder with virtual environments of libraries")


def main(args: cli.Args) -> None:
    """Measures and prints."""
    if not args.workdir:
        cli.refuse("--workdir is needed: the folder of a run")
    with cli.failures(), cli.mistakes(), tempfile.TemporaryDirectory() as folder:
        peers = known(args.peers, PEERS, "--peers")
        settings = prepared(args.workdir, args.split, pathlib.Path(folder))
        settings["batch_size"] = args.batch_size
        for beam_size in map(int, args.beams):
            settings["beam_size"] = beam_size
            found = compare(settings, peers, args.rounds, args.environments)
            for each in found:
                print(json.dumps({"benchmark": "decode", "beam_size": beam_size, **each}), flush=True)
            print(table(beam_size, found), flush=True)


def prepared(workdir: str, split: str | None, folder: pathlib.Path) -> dict[str, Any]:
    """Exports a run's model for every peer, and writes the text; returns where, and the search's length penalties."""
    from experiments.runs.exporting import export
    from experiments.runs.workdir import Workdir
    from experiments.runtime.subprocesses import result_of
    from transformer.data.corpus import open_corpus
    from transformer.interop.marian.settings import length_penalty

    spec = Workdir(workdir).spec()
    result_of(export, workdir, "marian", str(folder / "marian"))
    result_of(export, workdir, "ctranslate2", str(folder / "ctranslate2"))
    pairs = open_corpus(spec.data).split(split or spec.data.test_split)
    (folder / "source").write_text("".join(f"{pair.source}\n" for pair in pairs), encoding="utf-8")
    return {
        "workdir": str(pathlib.Path(workdir).resolve()),
        "marian": str(folder / "marian"),
        "ctranslate2": str(folder / "ctranslate2"),
        "source": str(folder / "source"),
        "folder": str(folder),
        "length_penalty": spec.decode.length_penalty,
        "length_exponent": length_penalty(spec.decode.length_penalty),
    }


def compare(settings: dict[str, Any], peers: dict[str, Peer], rounds: int, environments: str) -> list[dict[str, Any]]:
    """Translates with each of the peers in turns.

    Args:
      settings: of the search, and where model and text are.
      peers: by name.
      rounds: how many turns each has; the first is told apart.
      environments: folder with virtual environments of libraries.

    Returns:
      What was measured, in the order of the peers that could run.
    """
    folder = pathlib.Path(settings["folder"])
    with workers(peers, json.dumps(settings), pathlib.Path(environments), folder) as running:
        turns = take(running, rounds, lambda name: str(folder / f"{name}.txt"))
    texts = {name: (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines() for name in turns}
    seconds = {name: [each["seconds"] for each in found[1:]] for name, found in turns.items()}
    first = next(iter(turns), "")
    result = []
    for name, (_, said) in running.items():
        low, middle, high = quartiles(seconds[name])
        result.append(
            {
                "peer": name,
                "versions": said["versions"],
                "cores": os.cpu_count(),
                "sentences": said["sentences"],
                "sentences_per_second": round(said["sentences"] / middle, 1),
                "seconds": [round(each, 2) for each in (low, middle, high)],
                "first_seconds": round(turns[name][0]["seconds"], 2),
                "peak_bytes": turns[name][-1]["peak_bytes"],
                "same_as_ours": sum(one == other for one, other in zip(texts[name], texts[first], strict=True)),
                "ours_is_faster": ratio(seconds[name], seconds.get("ours")),
            }
        )
    return result


def table(beam_size: int, found: list[dict[str, Any]]) -> str:
    """What was found, in Markdown."""
    name = f"beam {beam_size}" if beam_size > 1 else "greedy"
    lines = [
        f"| {name} | sentences/s | first turn, s | same as ours | memory, GB | ours is × |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each['peer']} | {each['sentences_per_second']:,.0f} | {each['first_seconds']:.1f} | "
        f"{each['same_as_ours']} of {each['sentences']} | {each['peak_bytes'] / 1e9:.2f} | "
        f"{each['ours_is_faster'] or '-'} |"
        for each in found
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(define, main)
