"""Static files and the frame of a page."""

import importlib.resources
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from experiments.web.page import html_document, read_static, report_page

STATIC = importlib.resources.files("experiments.web") / "static"


def test_package_data_holds_every_static_file() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["experiments.web"]
    names = [f"static/{entry.name}" for entry in STATIC.iterdir()]
    assert names
    assert [name for name in names if not any(fnmatch(name, pattern) for pattern in patterns)] == []


def test_static_files_can_be_inlined() -> None:
    for entry in STATIC.iterdir():
        if not entry.name.endswith(".html"):  # neither may close the element that holds it
            assert "</script" not in read_static(entry.name)
            assert "</style" not in read_static(entry.name)


def test_text_cannot_leave_its_element() -> None:
    page = html_document("<title>", "", data={"text": "</script><b>"})
    assert "<title>&lt;title&gt;</title>" in page
    assert "</script><b>" not in page


def test_report_shows_html_as_text() -> None:
    page = report_page("Report", "### One\n\n<h3>text</h3> <img src=x>\n\n### Two\n", [])
    assert "<img" not in page
    assert page.count('<h2 id="s') == page.count('<a href="#s') == 2


def test_cells_have_the_direction_of_their_text() -> None:
    page = report_page("Report", "| a | b |\n| --- | --- |\n| cat | قطة |\n", [])
    assert '<td dir="auto">قطة</td>' in page
