"""Writes result.json of a finished run: scores with their breakdowns, model size, FLOPs and time."""

import statistics
from collections.abc import Sequence
from typing import Any

from experiments.runs.run import Run
from experiments.runs.system import System
from transformer.data.corpus import Pair, phenomena
from transformer.evaluation import bleu, breakdown
from transformer.training import metrics
from transformer.training.state import parameter_count


def write_result(run: Run, splits: Sequence[str] = ()) -> dict[str, Any]:
    """Scores a finished run, and writes result.json to its folder; returns its content.

    Splits are translated in `SCORING_DTYPE`, by the final parameters; an evaluation's translations are not reused.

    Args:
      run: the run.
      splits: splits of the run's corpus; default: its `data.test_split`.

    Raises:
      FileNotFoundError: the run has no checkpoint.
      ValueError: the corpus has no such split.
    """
    workdir, system = run.workdir, run.scoring_system
    params, used = run.final_params()
    scores = {}
    for split in dict.fromkeys(splits or (run.spec.data.test_split,)):
        pairs = run.shared.corpus.split(split)
        _, texts = run.score_split(split)
        workdir.write_translations(split, "reference", [pair.target for pair in pairs])
        scores[split] = _scores(system, split, pairs, texts)
        scores[split]["perplexity"] = system.loss(params, system.eval_batches(pairs, run.plan))["perplexity"]
    parameters = parameter_count(system.param_shapes)
    result = {
        "splits": scores,
        "parameters": parameters,
        "updates": used[-1],
        **_training(run),
        "goodput": run.goodput(),
    }
    workdir.write_result(result)
    return result


def _scores(system: System, split: str, pairs: Sequence[Pair], texts: Sequence[str]) -> dict[str, Any]:
    data = system.spec.data
    sources, references = [pair.source for pair in pairs], [pair.target for pair in pairs]
    result = bleu.score(texts, references, data.target_language).to_dict()
    result["exact"] = breakdown.exact_match(texts, references)
    result["by_source_length"] = breakdown.bleu_by_source_length(sources, texts, references, data.target_language)
    if data.source == "grammar":
        result["by_phenomenon"] = breakdown.exact_match_by_tag(phenomena(split, len(pairs)), texts, references)
    return result


def _training(run: Run) -> dict[str, float]:
    """Returns the FLOPs and the time of the run's updates; the speed is a median, so that compilation does not count.

    A member of a population gets its share of the time.
    """
    events = [{"members": 1, **event} for event in metrics.read(run.workdir.path) if event["split"] == "train"]
    batches = events[-1]["step"] * run.spec.train.accumulate
    return {
        "members": max(event["members"] for event in events),
        "target_tokens": sum(event["target_tokens"] for event in events),
        "training_flops": run.shared.flops.mean() * batches,
        "tokens_per_second": statistics.median(event["tokens_per_second"] * event["members"] for event in events),
        "training_minutes": sum(event["seconds"] / event["members"] for event in events) / 60,
    }
