"""Figures of a sweep, as PNG for web pages and as SVG and PDF for papers."""

import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from transformer.analysis.figure import PLAIN_TEXT, new_figure, optional, save_figure
from transformer.evaluation.confidence import Mean
from transformer.evaluation.significance import Comparison

FORMATS = ("png", "svg", "pdf")
Curve = list[tuple[float, Mean]]  # points (x, y) of one variant, by ascending x
_Draw = Callable[[Any, Curve, Mapping[str, Any]], None]  # draws a curve into axes, in a style
_MAX_INSIDE = 8  # variants that a legend inside the axes can hold; with more it goes below them


@optional
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


@optional
def draw_learning_curves(
    curves: Mapping[str, Curve], path: pathlib.Path, metric: str, x_label: str = "updates"
) -> None:
    """Draws a validation metric by update, with bands of the confidence intervals over seeds."""
    alpha = 0.15 if len(curves) <= _MAX_INSIDE else 0.04  # many overlapping bands would hide the curves
    _draw(curves, path, (x_label, metric), lambda axes, curve, style: _draw_bands(axes, curve, style, alpha))


@optional
def draw_differences(comparisons: Mapping[str, Comparison], path: pathlib.Path, label: str) -> None:
    """Draws a forest plot: differences with their intervals, sorted; filled points are significant."""
    figure = new_figure(7, 1.2 + 0.28 * len(comparisons))
    axes = figure.add_subplot()
    ordered = sorted(comparisons.items(), key=lambda item: item[1].difference)
    for row, (_, comparison) in enumerate(ordered):
        half_width = comparison.half_width if math.isfinite(comparison.half_width) else 0.0
        color = "tab:blue" if comparison.difference > 0 else "tab:red"
        style: dict[str, Any] = {"color": color, "fmt": "o", "capsize": 2, "markersize": 5}
        axes.errorbar(
            comparison.difference,
            row,
            xerr=half_width,
            markerfacecolor=color if comparison.significant else "white",
            **style,
        )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(ordered)), [variant for variant, _ in ordered], **PLAIN_TEXT)
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, path, FORMATS)


@optional
def draw_quality_and_cost(points: Mapping[str, tuple[float, Mean]], path: pathlib.Path, label: str) -> None:
    """Draws scores by the cost of training, variant → (PFLOP, mean score), with names at the points."""
    figure = new_figure(7, 4.2)
    axes = figure.add_subplot()
    for number, (variant, (cost, score)) in enumerate(points.items()):
        style: dict[str, Any] = {"marker": "osD^vPX*"[number % 8], "capsize": 2, "color": f"C{number % 10}"}
        axes.errorbar(cost, score.value, score.half_width or 0.0, **style)
        axes.annotate(variant, (cost, score.value), (5, 4), textcoords="offset points", fontsize=7, parse_math=False)
    costs = [cost for cost, _ in points.values()]
    if max(costs) > 3 * min(costs):
        axes.set_xscale("log")
    else:
        axes.set_xlim(0, 1.2 * max(costs))
    axes.set_xlabel("matmul PFLOP of training")
    axes.set_ylabel(label)
    axes.margins(x=0.15)
    axes.grid(alpha=0.3, which="both")
    save_figure(figure, path, FORMATS)


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
