"""What each decoder layer would predict, and which part of the decoder writes the decision between two tokens."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.studies.contrasts import SourcePair, contrast_batches
from experiments.studies.figures import draw_heat_map
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.study import CaptionedFigure, Study, attention_name, head_name, traced_attention
from experiments.web.markdown import format_mean, table
from transformer.analysis import lens
from transformer.evaluation.confidence import Mean, mean

_ROWS = 40


def measure_lens(run: InspectedRun, kinds: Mapping[str, Sequence[SourcePair]], folder: pathlib.Path) -> Study:
    """Measures the logit lens and the direct effects of a run on the contrasts of each kind.

    A recurrent model has no residual stream, which the study reports.
    """
    if run.spec.model.architecture != "transformer":
        return Study("lens", "### Logit lens\n\nThis model has no residual stream for a logit lens to read.\n", {})
    parts, values, figures = [], {}, list[CaptionedFigure]()
    for kind, contrasts in kinds.items():
        points, effects = _points(run, contrasts), _direct_effects(run, contrasts)
        values[kind] = {"contrasts": len(contrasts), "points": points, "direct_effects": effects}
        parts.append(_text(kind, len(contrasts), points, effects))
        figures.append(_draw(run, kind, effects, folder))
    return Study("lens", "\n".join(parts), values, figures)


def _collect(run: InspectedRun, contrasts: Sequence[SourcePair], function: Callable[..., Any]) -> list[np.ndarray]:
    """Returns the arrays [..., B] of a function of the model and a batch for all contrasts, [..., contrasts]."""
    compiled = run.jit(lambda params, batch: function(run.system.model(params), batch))
    results = [compiled(run.params, batch) for batch in contrast_batches(contrasts, min(_ROWS, len(contrasts)))]
    return [
        np.concatenate(list(map(np.asarray, side)), axis=-1)[..., : len(contrasts)]
        for side in zip(*results, strict=True)
    ]


def _points(run: InspectedRun, contrasts: Sequence[SourcePair]) -> dict[str, dict[str, Any]]:
    """Returns by point of the stream the mean log-odds, how often they are positive, and the mean P(right)."""
    odds, right = _collect(run, contrasts, lens.lens_scores)
    names = ["embedding", *(f"layer {layer + 1}" for layer in range(len(odds) - 1))]
    return {
        name: {
            "log_odds": _interval(own),
            "right": float((own > 0).mean()),
            "probability": float(np.exp(probability).mean()),
        }
        for name, own, probability in zip(names, odds, right, strict=True)
    }


def _interval(values: np.ndarray) -> list[float | None]:
    result = mean(values.tolist())
    return [result.value, result.half_width]


def _direct_effects(run: InspectedRun, contrasts: Sequence[SourcePair]) -> dict[str, list[float | None]]:
    """Returns the mean direct effect of each part of the decoder in nats, with its interval, by readable name."""
    names: list[str] = []

    def effects(model: Any, batch: Any) -> list[Any]:
        by_name = lens.direct_effects(model, batch)
        names[:] = by_name
        return [effect.T for effect in by_name.values()]

    arrays = _collect(run, contrasts, effects)  # compiling it sets the names
    means = dict[str, list[float | None]]()
    for name, array in zip(names, arrays, strict=True):
        if name.endswith("/heads"):
            heads = [head_name(traced_attention(name), head) for head in range(len(array))]
            means |= dict(zip(heads, map(_interval, array), strict=True))
        else:
            means[_part_name(name)] = _interval(array)
    return means


def _part_name(name: str) -> str:
    """Returns "feed-forward 1" for "decoder/0/feed_forward/output", "decoder 1, bias" for a bias of self-attention."""
    parts = name.split("/")
    if len(parts) != 4:
        return name.removeprefix("decoder/")
    if parts[2] == "feed_forward":
        return f"feed-forward {int(parts[1]) + 1}"
    return f"{attention_name(traced_attention(name))}, bias"


def _text(
    kind: str,
    count: int,
    points: Mapping[str, dict[str, Any]],
    effects: Mapping[str, Sequence[Any]],
) -> str:
    rows = [
        [name, _cell(point["log_odds"]), f"{100 * point['right']:.1f}", f"{point['probability']:.3f}"]
        for name, point in points.items()
    ]
    largest = sorted(effects.items(), key=lambda item: -abs(item[1][0]))
    return (
        f"### Logit lens: {kind}\n\nWhat the decoder would predict if it ended after its embeddings or after a layer: "
        f"mean log P(right) - log P(wrong) of {count} contrasts in nats, with its 95 % confidence interval, how often "
        "the right token is the more probable one of the two, and its mean probability.\n\n"
        f"{table(['after', 'log-odds', 'right, %', 'P(right)'], rows)}\n"
        "What each part of the decoder adds to the log-odds directly, not through later parts that read it, in nats. "
        "The sum of all parts is the log-odds after the last layer.\n\n"
        f"{table(['part', 'direct effect'], [[name, _cell(effect)] for name, effect in largest])}"
    )


def _cell(interval: Sequence[Any]) -> str:
    return format_mean(Mean(interval[0], interval[1], 0), 2)


def _draw(run: InspectedRun, kind: str, effects: Mapping[str, Sequence[Any]], folder: pathlib.Path) -> CaptionedFigure:
    heads = run.spec.model.heads
    names = [name for name in run.head_counts if not name.startswith("encoder/")]
    grid = np.array([[effects[head_name(name, head)][0] for head in range(heads)] for name in names])
    title = f"{kind}: direct effect of each head on the log-odds, nats"
    columns = [f"head {head + 1}" for head in range(heads)]
    return draw_heat_map(grid, list(map(attention_name, names)), columns, folder / f"lens_{kind}", title), title
