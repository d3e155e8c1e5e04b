"""Markdown tables and the format of numbers in them."""

import re
from collections.abc import Iterable, Sequence

from transformer.evaluation.confidence import Mean

# What Markdown or HTML would interpret in a cell: code, emphasis, a link or image, a tag, an entity, a cell's end.
_SPECIAL = re.compile(r"[\\`*|]|(?<![^\W_])_|_(?![^\W_])|~(?=~)|(?<=~)~|\](?=[(\[])|<(?=[A-Za-z/!?])|&(?=#?\w+;)")


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
