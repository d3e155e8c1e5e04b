"""Attention during training: the entropy of its weights and the share of saturated queries, by layer."""

import pathlib
from collections.abc import Sequence
from typing import Any

from experiments.studies.figures import draw_curves
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.study import CaptionedFigure, Study, attention_name
from experiments.web.markdown import table
from transformer.data.corpus import Pair
from transformer.training import metrics

_METRICS = {
    "attention_entropy": "mean entropy of attention weights, nats",
    "attention_saturated": "share of queries whose largest weight exceeds 0.95",
    "alignment_error": "alignment error rate of cross-attention, of each head and of the mean over a layer's heads",
}


def collect_training_curves(run: InspectedRun, split: str, pairs: Sequence[Pair], folder: pathlib.Path) -> Study:
    """Collects the attention metrics of metrics.jsonl; `split` and `pairs` are not used.

    Raises:
      ValueError: there are none: the model has no attention, or an older version trained the run.
    """
    del split, pairs
    events = [event for event in metrics.read(run.workdir.path) if any(_metric(key) for key in event)]
    if not events:
        raise ValueError(f"--study=training: {run.workdir.path}/metrics.jsonl has no attention metrics")
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {metric: {} for metric in _METRICS}
    for event in events:
        for key, value in event.items():
            if metric := _metric(key):
                curves[metric].setdefault(key.removeprefix(f"{metric}/"), []).append((event["step"], value))
    first, last = events[0]["step"], events[-1]["step"]
    parts, figures, values = [], list[CaptionedFigure](), dict[str, Any]()
    for metric, description in _METRICS.items():
        if not curves[metric]:
            continue  # without gold alignments there is no error rate
        figure = draw_curves(curves[metric], folder / metric, description)
        figures.append((figure, f"On validation during training: {description}"))
        rows = []
        for name, points in curves[metric].items():
            rows.append([attention_name(name), f"{points[0][1]:.3f}", f"{points[-1][1]:.3f}"])
        headers = ["attention", f"after {first} updates", f"after {last}"]
        parts.append(f"### Attention during training: {description}\n\n{table(headers, rows)}")
        values[metric] = curves[metric]
    return Study("training", "\n".join(parts), values, figures)


def _metric(key: str) -> str:
    return next((metric for metric in _METRICS if key.startswith(f"{metric}/")), "")
