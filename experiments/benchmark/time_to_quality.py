"""Measures the minutes from the start of the command until the translations reach a BLEU score.

    python -m experiments.benchmark.time_to_quality --config=configs/multi30k.py --config.data.direction=en-fr \
        --workdir=runs/time-to-quality [--targets=55,60,61.8]

Trains as `experiments.train` does, and keeps every checkpoint. Then scores each checkpoint on the test split as the
finished run would be. Its minutes are those from the start of the command until the checkpoint was on disk: reading
data, compiling and evaluating count, and scoring the other checkpoints does not. Choose settings by validation, not by
this measurement. Writes curve.json and curve.png to the workdir, and prints a table and, last, one JSON object.
"""

import contextlib
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.runtime import cli, config_files, subprocesses
from experiments.web import markdown
from transformer.spec import SCORING_DTYPE, Spec

_SCORES = ("bleu", "chrf", "bleu_paper")


def define() -> None:
    """Defines the flags."""
    config_files.define_config_flag("config of the run")
    flags.DEFINE_string("workdir", None, "folder of the run; it must be new or empty")
    flags.DEFINE_list("targets", ["55", "60", "61.8"], "bleu_paper scores of the test split to reach")


def main(args: cli.Args) -> None:
    """Trains, scores and prints."""
    start = time.time()
    if not args.config or not args.workdir:
        cli.exit_with_error("--config and --workdir are needed: --config=configs/multi30k.py --workdir=runs/quality")
    with cli.runtime_errors(), cli.user_errors():
        folder = pathlib.Path(args.workdir)
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"--workdir={folder}: is not empty, and a resumed run cannot be timed")
        targets = [float(target) for target in args.targets]
        config = args.config.to_dict()
        # Keeps every checkpoint, and the last: deleting old ones must not be part of the measured time.
        config["checkpoint"]["keep"] = config["train"]["steps"] // config["checkpoint"]["every"] + 2
        Spec.from_config(config)
        subprocesses.call(_train, config, str(folder))
        curve = subprocesses.call(score_checkpoints, str(folder), start)
    (folder / "curve.json").write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")
    from experiments.sweeps import figures
    from transformer.evaluation.confidence import mean

    points = [(point["minutes"], mean([point["bleu_paper"]])) for point in curve]
    figures.draw_learning_curves({"test": points}, folder / "curve", "bleu_paper", "minutes")
    print(table(curve))
    print(json.dumps({"benchmark": "time_to_quality", "minutes_to": minutes_to(curve, targets), "curve": curve}))


def _train(config: dict[str, Any], path: str) -> None:
    from experiments.runs.execute import train_and_test

    train_and_test(Spec.from_config(config), path)


def score_checkpoints(path: str, start: float) -> list[dict[str, float]]:
    """Returns the step, the minutes and the test scores of every checkpoint of a run, in order.

    Minutes count from `start`, in seconds since 1970. Call it in a process in which JAX has not started.
    """
    from experiments.runs.workdir import Workdir
    from experiments.runtime import xla_env

    workdir = Workdir(path)
    spec = workdir.spec()
    xla_env.prepare_for(spec.parallel)
    from experiments.runs.loading import with_dtype
    from experiments.runs.scoring import evaluate_split
    from experiments.runs.system import System
    from transformer.data.corpus import open_corpus
    from transformer.data.tokenizers.sentencepiece import Tokenizer
    from transformer.training import manifest
    from transformer.training.checkpoint import Checkpoints

    system = System.make(with_dtype(spec, SCORING_DTYPE), Tokenizer.load(workdir.tokenizer))
    pairs = open_corpus(spec.data).split(spec.data.test_split)
    curve = []
    with contextlib.closing(Checkpoints(workdir.checkpoints)) as checkpoints:
        for step in sorted(checkpoints.steps()):
            saved = (workdir.checkpoints / str(step) / manifest.NAME).stat().st_mtime
            params = system.put_params(checkpoints.restore_params(step, system.param_shapes))
            scores, _ = evaluate_split(system, params, pairs, spec.decode)
            rounded = {name: round(scores[name], 2) for name in _SCORES}
            curve.append({"step": step, "minutes": round((saved - start) / 60, 2), **rounded})
    return curve


def minutes_to(curve: Sequence[dict[str, float]], targets: Sequence[float]) -> dict[str, float | None]:
    """Returns the minutes of the first checkpoint whose bleu_paper reaches each target; None if none does."""
    return {
        f"{target:g}": next((point["minutes"] for point in curve if point["bleu_paper"] >= target), None)
        for target in targets
    }


def table(curve: Sequence[dict[str, float]]) -> str:
    """Returns the curve as a Markdown table."""
    rows = []
    for point in curve:
        scores = [f"{point[name]:.2f}" for name in _SCORES]
        rows.append([f"{point['step']:,}", f"{point['minutes']:.1f}", *scores])
    return markdown.table(("updates", "minutes", "BLEU", "chrF", "bleu_paper"), rows, text_columns=0)


if __name__ == "__main__":
    cli.run(define, main)
