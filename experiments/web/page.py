"""Self-contained HTML pages: style, scripts and figures are inline, so that one file works without a network."""

import base64
import html
import importlib.resources
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any


def read_static(*names: str) -> str:
    """Returns the text of files in experiments/web/static, joined in order."""
    folder = importlib.resources.files("experiments.web") / "static"
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def report_page(title: str, markdown: str, figures: Sequence[tuple[pathlib.Path, str]]) -> str:
    """Returns the HTML of a report: a table of contents, text, tables that sort by a click, and figures.

    Args:
      title: Title of the page.
      markdown: Text and tables under headings of the third level. HTML in it is shown as text. Figures follow the
        first heading's section.
      figures: SVG files, each with its caption.
    """
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = (
        body.replace("<td>", '<td dir="auto">')
        .replace("<table>", '<div class="table"><table>')
        .replace("</table>", "</table></div>")
    )
    parts, links = body.split("<h3>"), []
    sections = [parts[0]]
    for number, part in enumerate(parts[1:]):
        links.append(f'<li><a href="#s{number}">{part.partition("</h3>")[0]}</a></li>')
        sections.append(f'<h2 id="s{number}">' + part.replace("</h3>", "</h2>", 1))
    contents = f"<nav><ul>{''.join(links)}</ul></nav>\n" if len(links) > 1 else ""
    images = "".join(_figure(path, caption) for path, caption in figures)
    return html_document(
        title,
        f"{contents}<main>\n{''.join(sections[:2])}"
        f'<div class="figures">{images}</div>\n{"".join(sections[2:])}</main>\n',
        script=read_static("sortable_tables.js"),
    )


def html_document(
    title: str, body: str, style: str = "", script: str = "", data: Mapping[str, Any] | None = None
) -> str:
    """Returns a page with a heading, in the reader's light or dark colours, for wide screens and phones.

    Args:
      title: Title of the page and its heading.
      body: HTML below the heading.
      style: CSS, added to the common style.
      script: JavaScript, run at the end of the page.
      data: JSON for the script, in the element with the id "data".
    """
    name = html.escape(title)
    # "</script>" in a sentence would end the element: "<" is written as JSON's escape.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c") if data else ""
    element = f'<script type="application/json" id="data">{text}</script>\n' if data else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{name}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{read_static('document.css')}{style}</style>\n</head>\n<body>\n"
        f"<h1>{name}</h1>\n{body}{element}<script>{script}</script>\n</body>\n</html>\n"
    )


def _figure(path: pathlib.Path, caption: str) -> str:
    # An image element isolates the ids of each SVG; inline SVGs would share them.
    data = base64.b64encode(path.read_bytes()).decode()
    text = html.escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/svg+xml;base64,{data}"><figcaption>{text}</figcaption></figure>\n'
    )
