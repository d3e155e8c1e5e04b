"""Creates matplotlib figures without pyplot, and saves them in several formats.

A figure never costs a result: `optional` turns the failure of a function that draws into a warning, and the number of
pixels is bounded.
"""

import contextlib
import functools
import pathlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN_TEXT = {"parse_math": False}  # text options for tokens: text between two dollar signs is not a formula
# No dates, and fixed identifiers: equal data give equal files, byte for byte.
_METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}
_RC: Any = {"svg.hashsalt": "figure", "pdf.fonttype": 42}
_MISSING_GLYPH = "missing from font"
_MAX_PIXELS = 1 << 25  # of a raster, which takes four bytes per pixel; larger figures get fewer pixels per inch
_MAX_SIDE = 1 << 15  # pixels; Agg's limit is twice that

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def new_figure(width: float, height: float) -> "Figure":
    """Returns an empty figure of a size in inches, with a layout that fits its labels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import; uses no window system
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_bounded(100, width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: pathlib.Path, formats: Sequence[str], dpi: float = 150) -> list[pathlib.Path]:
    """Writes a figure once per format, and returns the files in this order; equal figures give equal files.

    Args:
      path: without a suffix.
      formats: suffixes, such as "png", "svg" and "pdf".
      dpi: pixels per inch of "png", at most.
    """
    from matplotlib import rc_context

    dpi = _bounded(dpi, *figure.get_size_inches())
    files = [path.with_name(f"{path.name}.{suffix}") for suffix in formats]
    with rc_context(_RC), _glyph_warnings_as_one():
        for file, suffix in zip(files, formats, strict=True):
            with file.open("wb") as output:  # the file may be in a bucket
                figure.savefig(output, format=suffix, dpi=dpi, metadata=_METADATA.get(suffix))
    return files


@contextlib.contextmanager
def _glyph_warnings_as_one() -> Iterator[None]:
    """Replaces Matplotlib's warnings about characters that the font lacks, one for each, by a single one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    if any(_MISSING_GLYPH in str(warning.message) for warning in caught):
        warnings.warn("the figure's font lacks some of its characters; pages show them", stacklevel=4)
    for warning in caught:
        if _MISSING_GLYPH not in str(warning.message):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def optional(draw: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result | None]:
    """Decorates a function that draws: if it fails, it warns and returns None."""

    @functools.wraps(draw)
    def guarded(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result | None:
        try:
            return draw(*args, **kwargs)
        except Exception as error:
            warnings.warn(f"no figure: {draw.__name__}: {type(error).__name__}: {error}", stacklevel=2)
            return None

    return guarded


def _bounded(dpi: float, width: float, height: float) -> float:
    """Returns `dpi`, or less for a figure that would have too many pixels; the size is in inches."""
    return min(dpi, (_MAX_PIXELS / (width * height)) ** 0.5, _MAX_SIDE / max(width, height))
