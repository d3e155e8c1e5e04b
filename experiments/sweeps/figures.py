"""Pictures of a sweep, as PNG for a page and as SVG and PDF for a paper."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from transformer.evaluation.confidence import Mean

ENDINGS = ("png", "svg", "pdf")
Line = list[tuple[float, Mean]]  # points of one variant, ascending
_FEW = 8  # variants that a legend holds beside the lines; it goes below more of them


def by_length(parts: Mapping[str, Mapping[str, tuple[int, Mean]]], path: pathlib.Path) -> None:
    """Draws the score of each bin of source lengths, "5-8", with its interval; Figure 2 of Bahdanau et al. 2015."""
    lines = {
        variant: [(sum(map(int, name.split("-"))) / 2, value) for name, (_, value) in bins.items()]
        for variant, bins in parts.items()
    }
    _draw(lines, path, ("words in the source sentence", "BLEU"), _with_bars)


def learning(lines: Mapping[str, Line], path: pathlib.Path, name: str, along: str = "updates") -> None:
    """Draws what validation said as training went, with a band as wide as the interval over seeds."""
    # Where many bands lie upon each other, full ones hide the lines.
    alpha = 0.15 if len(lines) <= _FEW else 0.04
    _draw(lines, path, (along, name), lambda axes, points, style: _with_bands(axes, points, style, alpha))


def _with_bars(axes: Any, points: Line, style: Mapping[str, Any]) -> None:
    widths = [value.half_width or 0.0 for _, value in points]
    axes.errorbar([x for x, _ in points], [value.value for _, value in points], widths, capsize=2, **style)


def _with_bands(axes: Any, points: Line, style: Mapping[str, Any], alpha: float) -> None:
    x = [place for place, _ in points]
    middle = [value.value for _, value in points]
    (drawn,) = axes.plot(x, middle, **style)
    widths = [value.half_width or 0.0 for _, value in points]
    low, high = ([m + sign * w for m, w in zip(middle, widths, strict=True)] for sign in (-1, 1))
    axes.fill_between(x, low, high, color=drawn.get_color(), alpha=alpha, linewidth=0)


def _draw(
    lines: Mapping[str, Line],
    path: pathlib.Path,
    labels: tuple[str, str],
    draw: Callable[[Any, Line, Mapping[str, Any]], None],
) -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import; no window system is touched
    from matplotlib.figure import Figure

    below = len(lines) > _FEW
    figure = Figure(figsize=(7, 4.2 + 0.2 * -(-len(lines) // 3) * below), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (variant, points) in enumerate(lines.items()):
        style = {"marker": "osD^vPX*"[number % 8], "markersize": 4, "linewidth": 1.2, "label": variant}
        if below and number == 0:  # what all others are compared with stands out among them, and above them
            style |= {"color": "black", "linewidth": 2.0, "zorder": 3}
        elif number > 10:  # matplotlib has ten colours
            style["linestyle"] = "--"
        draw(axes, points, style)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if below:
        figure.legend(fontsize=8, ncols=3, loc="outside lower center")
    else:
        axes.legend(fontsize=8)
    # The same data give the same files, to the byte.
    with rc_context({"svg.hashsalt": "report", "pdf.fonttype": 42}):
        for ending in ENDINGS:
            dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}
            figure.savefig(path.with_suffix(f".{ending}"), dpi=150, metadata=dates.get(ending))
