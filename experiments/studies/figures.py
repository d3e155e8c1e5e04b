"""Pictures of what heads do: a number for each head, and what is left when more and more of them are gone."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.studies.study import attention_name


def grid(values: Mapping[str, np.ndarray], path: pathlib.Path, label: str) -> pathlib.Path:
    """Draws a number for each head: a row an attention, a column a head. PNG and SVG; returns the SVG.

    Args:
      values: [H] by attention, "encoder/0".
      path: without an ending.
      label: what the numbers are.
    """
    heads = max(len(each) for each in values.values())
    table = np.full((len(values), heads), np.nan)
    for row, each in enumerate(values.values()):
        table[row, : len(each)] = each
    figure, axes = _figure(1.6 + 0.75 * heads, 1.2 + 0.36 * len(values))
    drawn = axes.imshow(table, cmap="viridis", aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            dark = float(np.asarray(drawn.norm(value))) < 0.6
            shown = f"{value:.2g}" if abs(value) < 1 else f"{value:.2f}"
            axes.text(column, row, shown, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.set_xticks(range(heads), [f"head {head + 1}" for head in range(heads)], fontsize=8)
    axes.set_yticks(range(len(values)), list(map(attention_name, values)), fontsize=8)
    axes.set_title(label, fontsize=9)
    return _save(figure, path)


def pruning(losses: Sequence[float], bleu: Mapping[int, float], path: pathlib.Path) -> pathlib.Path:
    """Draws loss, and BLEU where it was measured, by the number of heads gone. PNG and SVG; returns the SVG."""
    figure, axes = _figure(7, 4)
    axes.plot(range(len(losses)), losses, color="tab:blue", marker=".", label="loss, nats a token")
    axes.set_xlabel("heads taken out")
    axes.set_ylabel("loss, nats a token")
    axes.grid(alpha=0.3)
    other = axes.twinx()
    other.plot(list(bleu), list(bleu.values()), color="tab:orange", marker="o", linestyle="--", label="BLEU")
    other.set_ylabel("BLEU")
    other.set_ylim(bottom=0)
    lines = [*axes.get_lines(), *other.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], fontsize=8, loc="center left")
    return _save(figure, path)


def curves(lines: Mapping[str, Sequence[tuple[int, float]]], path: pathlib.Path, label: str) -> pathlib.Path:
    """Draws a value of each attention by the number of updates. PNG and SVG; returns the SVG."""
    figure, axes = _figure(7, 4.2)
    styles = {"encoder": "-", "decoder": ":", "cross": "--"}
    for name, points in lines.items():
        x, y = zip(*points, strict=True)
        axes.plot(x, y, styles[name.partition("/")[0]], marker=".", label=attention_name(name))
    axes.set_xlabel("updates")
    axes.set_ylabel(label, fontsize=9)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=3)
    return _save(figure, path)


def _figure(width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import; no window system is touched
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(figure, path: pathlib.Path) -> pathlib.Path:
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "heads"}):  # the same data give the same files, to the byte
        figure.savefig(path.with_suffix(".png"), dpi=150)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    return path.with_suffix(".svg")
