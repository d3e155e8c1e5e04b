"""Figures of studies: a value for each head, the pruning curve, and curves over training."""

import math
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.studies.study import attention_name
from transformer.analysis.figure import PLAIN_TEXT, new_figure, optional, save_figure

_FORMATS = ("svg", "png")


@optional
def draw_head_grid(values: Mapping[str, np.ndarray], path: pathlib.Path, title: str) -> pathlib.Path:
    """Draws a value for each head, one row per attention and one column per head; returns the SVG of SVG and PNG.

    Args:
      values: [H] by attention, "encoder/0".
      path: without a suffix.
      title: description of the values.
    """
    heads = max(len(value_H) for value_H in values.values())
    grid = np.full((len(values), heads), np.nan)
    for row, value_H in enumerate(values.values()):
        grid[row, : len(value_H)] = value_H
    figure = new_figure(1.6 + 0.75 * heads, 1.2 + 0.36 * len(values))
    axes = figure.add_subplot()
    image = axes.imshow(grid, cmap="viridis", aspect="auto")
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            is_dark = float(np.asarray(image.norm(value))) < 0.6
            text = f"{value:.2g}" if abs(value) < 1 else f"{value:.2f}"
            color = "white" if is_dark else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(heads), [f"head {head + 1}" for head in range(heads)], fontsize=8)
    axes.set_yticks(range(len(values)), list(map(attention_name, values)), fontsize=8)
    axes.set_title(title, fontsize=9)
    return save_figure(figure, path, _FORMATS)[0]


@optional
def draw_pruning(losses: Sequence[float], bleu: Mapping[int, float], path: pathlib.Path) -> pathlib.Path:
    """Draws loss, and BLEU where it was measured, by the number of pruned heads; returns the SVG of SVG and PNG."""
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    axes.plot(range(len(losses)), losses, color="tab:blue", marker=".", label="loss, nats per token")
    axes.set_xlabel("pruned heads")
    axes.set_ylabel("loss, nats per token")
    axes.grid(alpha=0.3)
    right = axes.twinx()
    right.plot(list(bleu), list(bleu.values()), color="tab:orange", marker="o", linestyle="--", label="BLEU")
    right.set_ylabel("BLEU")
    right.set_ylim(bottom=0)
    lines = [*axes.get_lines(), *right.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], fontsize=8, loc="center left")
    return save_figure(figure, path, _FORMATS)[0]


@optional
def draw_curves(curves: Mapping[str, Sequence[tuple[int, float]]], path: pathlib.Path, label: str) -> pathlib.Path:
    """Draws a value of each attention by the number of updates; returns the SVG of SVG and PNG."""
    figure = new_figure(7, 4.2)
    axes = figure.add_subplot()
    styles = {"encoder": "-", "decoder": ":", "cross": "--"}
    for name, points in curves.items():
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, styles[name.partition("/")[0]], marker=".", label=attention_name(name))
    axes.set_xlabel("updates")
    axes.set_ylabel(label, fontsize=9)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=3)
    return save_figure(figure, path, _FORMATS)[0]


@optional
def draw_panels(
    panels: Mapping[str, Sequence[tuple[str, Sequence[tuple[int, float]]]]], path: pathlib.Path, title: str
) -> pathlib.Path:
    """Draws labelled curves of (updates, value) in one panel for each quantity; returns the SVG of SVG and PNG."""
    columns = min(len(panels), 4)
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(3 * columns, 2.6 * rows)
    for number, (quantity, curves) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, columns, number)
        for label, points in curves:
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
        axes.set_title(quantity, fontsize=8)
        axes.set_xlabel("updates", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6)
    figure.suptitle(title, fontsize=9)
    return save_figure(figure, path, _FORMATS)[0]


@optional
def draw_heat_map(
    values: np.ndarray, rows: Sequence[str], columns: Sequence[str], path: pathlib.Path, title: str
) -> pathlib.Path:
    """Draws values in colours around a white zero; returns the SVG of SVG and PNG.

    Args:
      values: [rows, columns].
      rows, columns: labels, which may be any text.
      path: without a suffix.
      title: description of the values.
    """
    limit = max(float(np.nanmax(np.abs(values))), 1e-6)
    figure = new_figure(2.6 + 0.62 * len(columns), 1.6 + 0.36 * len(rows))
    axes = figure.add_subplot()
    axes.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            color = "white" if abs(value) > 0.6 * limit else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(columns)), columns, fontsize=8, rotation=45, ha="right", **PLAIN_TEXT)
    axes.set_yticks(range(len(rows)), rows, fontsize=8, **PLAIN_TEXT)
    axes.set_title(title, fontsize=9, parse_math=False)
    return save_figure(figure, path, _FORMATS)[0]
