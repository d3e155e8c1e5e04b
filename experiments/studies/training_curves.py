"""How attention changed while a run was trained: the entropy of its weights and how many saturate, by layer."""

import pathlib
from collections.abc import Sequence
from typing import Any

from experiments.studies import figures
from experiments.studies.inspected_run import Subject
from experiments.studies.study import Picture, Study, attention_name
from experiments.web.markdown import table
from transformer.data.corpus import Pair
from transformer.training import metrics

_SHOWN = {
    "attention_entropy": "mean entropy of attention weights, nats",
    "attention_saturated": "share of queries whose largest weight is more than 0.95",
    "alignment_error": "alignment error rate of cross-attention, of each head and of the mean over a layer's",
}


def study(subject: Subject, split: str, pairs: Sequence[Pair], folder: pathlib.Path) -> Study:
    """What the run's evaluations noted in metrics.jsonl; `split` and `pairs` have no say in it.

    Raises:
      ValueError: they noted nothing: the model has no attention, or the run is from before they did.
    """
    del split, pairs
    events = [event for event in metrics.read(subject.workdir.path) if any(_name(key) for key in event)]
    if not events:
        raise ValueError(f"--study=training: {subject.workdir.path}/metrics.jsonl says nothing of attention")
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {shown: {} for shown in _SHOWN}
    for event in events:
        for key, value in event.items():
            if name := _name(key):
                curves[name].setdefault(key.removeprefix(f"{name}/"), []).append((event["step"], value))
    parts, pictures, numbers = [], list[Picture](), dict[str, Any]()
    for name, shown in _SHOWN.items():
        if not curves[name]:
            continue  # without gold alignments, no error rate
        picture = figures.curves(curves[name], folder / name, shown)
        pictures.append((picture, f"{shown}, on validation as training goes"))
        rows = [
            [attention_name(each), f"{points[0][1]:.3f}", f"{points[-1][1]:.3f}"]
            for each, points in curves[name].items()
        ]
        first, last = events[0]["step"], events[-1]["step"]
        heads = ["attention", f"after {first} updates", f"after {last}"]
        parts.append(f"### Attention as training goes: {shown}\n\n{table(heads, rows)}")
        numbers[name] = curves[name]
    return Study("training", "\n".join(parts), numbers, pictures)


def _name(key: str) -> str:
    return next((name for name in _SHOWN if key.startswith(f"{name}/")), "")
