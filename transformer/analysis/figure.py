"""Creates matplotlib figures without pyplot, and saves them in several formats."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN_TEXT = {"parse_math": False}  # text options for tokens: text between two dollar signs is not a formula
# No dates, and fixed identifiers: equal data give equal files, byte for byte.
_METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}
_RC: Any = {"svg.hashsalt": "figure", "pdf.fonttype": 42}


def new_figure(width: float, height: float) -> "Figure":
    """Returns an empty figure of a size in inches, with a layout that fits its labels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import; uses no window system
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: pathlib.Path, formats: Sequence[str], dpi: int = 150) -> list[pathlib.Path]:
    """Writes a figure once per format, and returns the files in this order; equal figures give equal files.

    Args:
      path: without a suffix.
      formats: suffixes, such as "png", "svg" and "pdf".
      dpi: pixels per inch of "png".
    """
    from matplotlib import rc_context

    files = [path.with_name(f"{path.name}.{suffix}") for suffix in formats]
    with rc_context(_RC):
        for file, suffix in zip(files, formats, strict=True):
            figure.savefig(file, dpi=dpi, metadata=_METADATA.get(suffix))
    return files
