"""The result of a study of a run (text, values and figures), and the files that hold it."""

import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.web.page import report_page

CaptionedFigure = tuple[pathlib.Path | None, str]  # an SVG file, None if it could not be drawn, and its caption


class Study(NamedTuple):
    """The result of one study."""

    name: str
    markdown: str  # with headings of the third level
    values: dict[str, Any]  # for JSON
    figures: Sequence[CaptionedFigure] = ()


def write_studies(studies: Sequence[Study], title: str, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes analysis.md, analysis.json and analysis.html to a folder; returns the files."""
    text = "\n".join(study.markdown for study in studies)
    values = {study.name: study.values for study in studies}
    figures = [(path, caption) for study in studies for path, caption in study.figures if path is not None]
    contents = {
        "analysis.md": text,
        "analysis.json": json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "analysis.html": report_page(title, text, figures),
    }
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in contents]


def format_clustered_share(clusters: Sequence[tuple[int, int]]) -> str:
    """Formats the share of successes in %, with an interval that counts dependent trials less.

    Pairs of one sentence succeed or fail jointly. The design effect, the ratio of the variance of the share between
    clusters to that of independent trials (Kish 1965), divides the number of trials; it is at least one.

    Args:
      clusters: (successes, trials) of each cluster.
    """
    successes, trials = (sum(counts) for counts in zip(*clusters, strict=True)) if clusters else (0, 0)
    share, size = successes / max(1, trials), len(clusters)
    effect = 1.0
    if 0 < share < 1 and size > 1:
        between = sum((right - share * total) ** 2 for right, total in clusters) * size / (size - 1)
        effect = max(1.0, between / (trials * share * (1 - share)))
    elif size:
        effect = trials / size  # all equal: each cluster counts once
    return format_share(successes / effect, trials / effect)


def format_share(count: float, total: float) -> str:
    """Formats count / total in % with its 95 % confidence interval; Wilson 1927."""
    if not total:
        return "–"
    z, share = 1.96, count / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half_width = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return f"{100 * share:.1f} ({100 * (centre - half_width):.1f}–{100 * (centre + half_width):.1f})"


def attention_name(name: str) -> str:
    """Returns the name with numbers from one: "cross 1" for "cross/0", and "cross 1.2" for its head "cross/0/1"."""
    kind, *indices = name.split("/")
    return f"{kind} {'.'.join(str(int(index) + 1) for index in indices)}"


def head_name(name: str, head: int) -> str:
    """Returns the name of a head with numbers from one: "cross 1.2" for ("cross/0", 1)."""
    return attention_name(f"{name}/{head}")


def traced_attention(name: str) -> str:
    """Returns the attention of a traced activation: "cross/0" for "decoder/0/cross_attention/heads"."""
    stack, layer, kind, *_ = name.split("/")
    return f"{'cross' if kind == 'cross_attention' else stack}/{layer}"
