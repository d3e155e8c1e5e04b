"""Markdown tables, and numbers as they stand in them."""

from collections.abc import Iterable, Sequence

from transformer.evaluation.confidence import Mean


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A Markdown table whose numbers stand on the right, after some columns of text."""
    lines = [heads, [*("---" for _ in heads[:texts]), *("---:" for _ in heads[texts:])], *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def probability(value: float) -> str:
    """A p-value to three digits."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def text(value: Mean, digits: int) -> str:
    """A mean with its interval, if it has one that is not nothing."""
    # A diverged run's perplexity has forty digits: nobody reads those.
    shape = f",.{digits}f" if abs(value.value) < 1e7 else ".1e"
    shown = f"{value.value:{shape}}"
    return shown if not value.half_width else f"{shown} ± {value.half_width:{shape}}"
