"""How many minutes training takes until translations are as good as wanted, from the command on.

    python -m experiments.benchmark.time_to_quality --config=configs/multi30k.py --config.data.direction=en-fr \
        --workdir=runs/time-to-quality [--targets=55,60,61.8]

Trains as `experiments.train` does, and keeps every checkpoint. Afterwards each is scored on the test split as a
finished run would be: its minutes are those from the start of the command until it was on the disk, so that reading
data, compiling and evaluating count, and the scoring of the others does not. Choose settings by validation, not by
this. Writes curve.json and curve.png to the folder, and prints a table, and one JSON object last.
"""

import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from experiments.runtime import cli, subprocesses
from transformer.spec import Spec


def define() -> None:
    """Defines the flags."""
    config_flags.DEFINE_config_file("config", None, "the experiment; a file of configs/, FILE or FILE:ARGUMENT")
    flags.DEFINE_string("workdir", None, "folder of the run, new")
    flags.DEFINE_list("targets", ["55", "60", "61.8"], "bleu_paper of the test split")


def main(args: cli.Args) -> None:
    """Trains, scores, and prints."""
    begun = time.time()
    if not args.config or not args.workdir:
        cli.refuse("--config and --workdir are needed: --config=configs/multi30k.py --workdir=runs/quality")
    with cli.failures(), cli.mistakes():
        folder = pathlib.Path(args.workdir)
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"--workdir={folder}: is not empty, and a run that goes on cannot be timed")
        targets = [float(target) for target in args.targets]
        config = args.config.to_dict()
        # Every one of them, and the last: that a save deletes an old checkpoint is not part of what is timed.
        config["checkpoint"]["keep"] = config["train"]["steps"] // config["checkpoint"]["every"] + 2
        Spec.from_config(config)
        subprocesses.result_of(_train, config, str(folder))
        curve = subprocesses.result_of(scores, str(folder), begun)
    (folder / "curve.json").write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")
    _draw(curve, folder / "curve")
    print(table(curve))
    print(json.dumps({"benchmark": "time_to_quality", "minutes_to": reached(curve, targets), "curve": curve}))


def _train(config: dict[str, Any], path: str) -> None:
    from experiments.runs.execute import train_and_test

    train_and_test(Spec.from_config(config), path)


def scores(path: str, begun: float) -> list[dict[str, float]]:
    """Of every checkpoint of a run, in order: its step, its minutes, and its scores of the test split.

    For a process in which JAX has not started. Minutes are those since `begun`, in seconds since 1970.
    """
    from experiments.runs.workdir import Workdir
    from experiments.runtime import xla_env

    workdir = Workdir(path)
    spec = workdir.spec()
    xla_env.prepare(spec.parallel.cpu_devices)
    from experiments.runs.scoring import evaluate_split
    from experiments.runs.system import System
    from transformer.data.corpus import open_corpus
    from transformer.data.tokenizers.sentencepiece import Tokenizer
    from transformer.training import manifest
    from transformer.training.checkpoint import Checkpoints

    system = System.make(spec, Tokenizer.load(workdir.tokenizer))
    pairs = open_corpus(spec.data).split(spec.data.test_split)
    checkpoints = Checkpoints(workdir.checkpoints)
    curve = []
    try:
        for step in sorted(checkpoints.steps()):
            made = (workdir.checkpoints / str(step) / manifest.NAME).stat().st_mtime
            params = system.on_devices(checkpoints.evaluated(step, system.shapes))
            found, _ = evaluate_split(system, params, pairs, spec.decode)
            kept = {name: round(found[name], 2) for name in ("bleu", "chrf", "bleu_paper")}
            curve.append({"step": step, "minutes": round((made - begun) / 60, 2), **kept})
    finally:
        checkpoints.close()
    return curve


def reached(curve: Sequence[dict[str, float]], targets: Sequence[float]) -> dict[str, float | None]:
    """The minutes of the first checkpoint with at least such a bleu_paper; None where there is none."""
    return {
        f"{target:g}": next((point["minutes"] for point in curve if point["bleu_paper"] >= target), None)
        for target in targets
    }


def _draw(curve: Sequence[dict[str, float]], path: pathlib.Path) -> None:
    from experiments.sweeps import figures
    from transformer.evaluation.confidence import mean

    points = [(point["minutes"], mean([point["bleu_paper"]])) for point in curve]
    figures.learning({"test": points}, path, "bleu_paper", "minutes")


def table(curve: Sequence[dict[str, float]]) -> str:
    """The curve, in Markdown."""
    lines = ["| updates | minutes | BLEU | chrF | bleu_paper |", "|---|---|---|---|---|"]
    lines += [
        f"| {point['step']:,} | {point['minutes']:.1f} | {point['bleu']:.2f} | {point['chrf']:.2f} | "
        f"{point['bleu_paper']:.2f} |"
        for point in curve
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(define, main)
