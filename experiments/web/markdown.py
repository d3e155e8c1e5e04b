"""Markdown tables and the format of numbers in them."""

import math
import re
from collections.abc import Iterable, Sequence

from transformer.evaluation.confidence import Mean, mean

# What Markdown or HTML would interpret in a cell: code, emphasis, a link or image, an address, a tag, an entity, a
# cell's end.
_SPECIAL = re.compile(
    r"[\\`*|]|(?<![^\W_])_|_(?![^\W_])|~(?=~)|(?<=~)~|\](?=[(\[])|:(?=//)|(?<=\bwww)\.|<(?=[A-Za-z/!?])|&(?=#?\w+;)"
)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """Returns a Markdown table with left-aligned text columns, then right-aligned number columns.

    Cells are text: Markdown and HTML in them, for example from a corpus, are escaped.
    """
    lines = [headers, [*("---" for _ in headers[:text_columns]), *("---:" for _ in headers[text_columns:])], *rows]
    cells = [line if index == 1 else [_escape(cell) for cell in line] for index, line in enumerate(lines)]
    return "".join("| " + " | ".join(line) + " |\n" for line in cells)


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.splitlines()))


def format_p_value(value: float) -> str:
    """Formats a p-value with three digits."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def format_mean(value: Mean, digits: int) -> str:
    """Formats a mean and its interval; an interval of zero is omitted."""
    # The perplexity of a diverged run has forty digits.
    shape = f",.{digits}f" if abs(value.value) < 1e7 else ".1e"
    text = f"{value.value:{shape}}"
    return text if not value.half_width else f"{text} ± {value.half_width:{shape}}"


def format_geometric_mean(values: Sequence[float], digits: int) -> str:
    """Formats exp of the mean logarithm and, from two values on, of the ends of its interval: "11.8 (11.6–12.1)"."""
    average = mean([math.log(value) for value in values])
    low, high = (average.value + sign * (average.half_width or 0.0) for sign in (-1, 1))
    text, *ends = (
        f"{math.exp(value):,.{digits}f}" if value < math.log(1e7) else f"{math.exp(min(value, 700)):.1e}"
        for value in (average.value, low, high)
    )
    return f"{text} ({ends[0]}–{ends[1]})" if average.half_width else text
