"""Figures of a sweep, as PNG for web pages and as SVG and PDF for papers."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from transformer.analysis.figure import new_figure, save_figure
from transformer.evaluation.confidence import Mean

FORMATS = ("png", "svg", "pdf")
Curve = list[tuple[float, Mean]]  # points (x, y) of one variant, by ascending x
_Draw = Callable[[Any, Curve, Mapping[str, Any]], None]  # draws a curve into axes, in a style
_MAX_INSIDE = 8  # variants that a legend inside the axes can hold; with more it goes below them


def draw_by_length(scores: Mapping[str, Mapping[str, tuple[int, Mean]]], path: pathlib.Path) -> None:
    """Draws the score by bins of source length with confidence intervals; Figure 2 of Bahdanau et al. 2015.

    Args:
      scores: variant → bin, "5-8" → (sentences, mean score).
      path: path of the figures, without a suffix.
    """
    curves = {
        variant: [(sum(map(int, name.split("-"))) / 2, mean) for name, (_, mean) in bins.items()]
        for variant, bins in scores.items()
    }
    _draw(curves, path, ("words in the source sentence", "BLEU"), _draw_bars)


def draw_learning_curves(
    curves: Mapping[str, Curve], path: pathlib.Path, metric: str, x_label: str = "updates"
) -> None:
    """Draws a validation metric by update, with bands of the confidence intervals over seeds."""
    alpha = 0.15 if len(curves) <= _MAX_INSIDE else 0.04  # many overlapping bands would hide the curves
    _draw(curves, path, (x_label, metric), lambda axes, curve, style: _draw_bands(axes, curve, style, alpha))


def _draw_bars(axes: Any, curve: Curve, style: Mapping[str, Any]) -> None:
    half_widths = [mean.half_width or 0.0 for _, mean in curve]
    axes.errorbar([x for x, _ in curve], [mean.value for _, mean in curve], half_widths, capsize=2, **style)


def _draw_bands(axes: Any, curve: Curve, style: Mapping[str, Any], alpha: float) -> None:
    x, means = [x for x, _ in curve], [mean.value for _, mean in curve]
    (line,) = axes.plot(x, means, **style)
    half_widths = [mean.half_width or 0.0 for _, mean in curve]
    low, high = ([m + sign * w for m, w in zip(means, half_widths, strict=True)] for sign in (-1, 1))
    axes.fill_between(x, low, high, color=line.get_color(), alpha=alpha, linewidth=0)


def _draw(curves: Mapping[str, Curve], path: pathlib.Path, labels: tuple[str, str], draw: _Draw) -> None:
    legend_below = len(curves) > _MAX_INSIDE
    figure = new_figure(7, 4.2 + 0.2 * -(-len(curves) // 3) * legend_below)
    axes = figure.add_subplot()
    for number, (variant, curve) in enumerate(curves.items()):
        style = {"marker": "osD^vPX*"[number % 8], "markersize": 4, "linewidth": 1.2, "label": variant}
        if legend_below and number == 0:  # the base stands out among many variants, and is drawn above them
            style |= {"color": "black", "linewidth": 2.0, "zorder": 3}
        elif number > 10:  # matplotlib has ten colours
            style["linestyle"] = "--"
        draw(axes, curve, style)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if legend_below:
        figure.legend(fontsize=8, ncols=3, loc="outside lower center")
    else:
        axes.legend(fontsize=8)
    save_figure(figure, path, FORMATS)
