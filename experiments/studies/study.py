"""What a study of a run found: text, numbers and pictures, and how they are written."""

import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.web.page import page

Picture = tuple[pathlib.Path, str]  # an SVG file, and a line that says what it shows


class Study(NamedTuple):
    """One study."""

    name: str
    markdown: str  # under headings of the third level
    numbers: dict[str, Any]  # for JSON
    pictures: Sequence[Picture] = ()


def write(studies: Sequence[Study], title: str, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes analysis.md, analysis.json and analysis.html to a folder; returns the files."""
    text = "\n".join(study.markdown for study in studies)
    numbers = {study.name: study.numbers for study in studies}
    pictures = [picture for study in studies for picture in study.pictures]
    contents = {
        "analysis.md": text,
        "analysis.json": json.dumps(numbers, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "analysis.html": page(title, text, pictures),
    }
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in contents]


def percentage(right: int, count: int) -> str:
    """A share of sentences in %, with the 95 % interval of Wilson 1927."""
    if not count:
        return "–"
    z, share = 1.96, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return f"{100 * share:.1f} ({100 * (middle - half):.1f}–{100 * (middle + half):.1f})"


def attention_name(name: str) -> str:
    """As a reader counts: "cross 1" for "cross/0", and for a head of it, "cross/0/1", "cross 1.2"."""
    kind, *numbers = name.split("/")
    return f"{kind} {'.'.join(str(int(each) + 1) for each in numbers)}"


def head_name(name: str, head: int) -> str:
    """("cross/0", 1) as a reader counts: cross 1.2, the second head of the first layer."""
    return attention_name(f"{name}/{head}")
