"""Attention as pictures: every layer and head of the encoder, the decoder and between them."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from transformer.analysis.forced_decoding import KINDS

_TITLES = {
    "encoder": "encoder: the source token (column) each source token (row) looks at",
    "decoder": "decoder: the token read so far (column) each predicted token (row) looks at",
    "cross": "cross-attention: the source token (column) each predicted token (row) looks at",
}
_ENDINGS = ("png", "svg")


def draw_all(
    attention: Mapping[str, np.ndarray],
    rows: Mapping[str, Sequence[str]],
    columns: Mapping[str, Sequence[str]],
    folder: pathlib.Path,
) -> list[pathlib.Path]:
    """Draws one picture a kind of attention, its layers below each other and their heads side by side: PNG and SVG.

    Args:
      attention: [H, rows, columns] by name, "encoder/0".
      rows, columns: labels by kind, "encoder".
      folder: is made.

    Returns:
      The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in KINDS:
        layers = [weights for name, weights in attention.items() if name.startswith(f"{kind}/")]
        if layers:
            written += _draw(layers, rows[kind], columns[kind], folder / f"attention_{kind}", _TITLES[kind])
    return written


def _draw(
    layers: Sequence[np.ndarray], rows: Sequence[str], columns: Sequence[str], path: pathlib.Path, title: str
) -> list[pathlib.Path]:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import; no window system is touched
    from matplotlib.figure import Figure

    heads = max(len(weights) for weights in layers)
    size = (0.17 * len(columns) + 0.3, 0.17 * len(rows) + 0.4)
    figure = Figure(figsize=(heads * size[0] + 1.2, len(layers) * size[1] + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    plain = {"parse_math": False}  # a token may hold dollar signs, and what stands between two is no formula
    figure.suptitle(title, fontsize=9, **plain)
    for layer, weights in enumerate(layers):
        for head, weights_TS in enumerate(weights):
            axes = figure.add_subplot(len(layers), heads, layer * heads + head + 1)
            axes.imshow(weights_TS, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=7)
            # Labels at the edges alone: heads of a layer share their rows, layers their columns.
            last = layer == len(layers) - 1
            axes.set_xticks(range(len(columns)), columns if last else [""] * len(columns), rotation=90, fontsize=6)
            axes.set_yticks(range(len(rows)), rows if head == 0 else [""] * len(rows), fontsize=6)
            for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
                label.set_parse_math(False)
            axes.tick_params(length=0)
    written = [path.with_suffix(f".{ending}") for ending in _ENDINGS]
    # The same data give the same files, to the byte.
    with rc_context({"svg.hashsalt": "attention"}):
        for each in written:
            figure.savefig(each, dpi=110, metadata={"Date": None} if each.suffix == ".svg" else None)
    return written
