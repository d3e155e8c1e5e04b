"""A report as one HTML file that needs nothing beside it: no network, no other file."""

import base64
import html
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #d8dee4; --band: #f4f6f8; --link: #0b57d0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --paper: #14171b; --faint: #343a42; --band: #1c2127; --link: #8ab4f8; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem 1.25rem 4rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; padding-top: .5rem; border-top: 1px solid var(--faint); }
nav ul { padding-left: 1.1rem; columns: 20rem; }
a { color: var(--link); }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--faint); white-space: nowrap; }
thead th { background: var(--band); }
thead button { all: unset; cursor: pointer; font-weight: 600; }
thead button:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
td:not(:first-child):not([style]) { white-space: normal; min-width: 14rem; }
tbody tr:hover { background: var(--band); }
td:first-child, th:first-child { position: sticky; left: 0; background: var(--paper); text-align: left; }
thead th:first-child { background: var(--band); }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); gap: 1.5rem; }
figure { margin: 1.5rem 0 0; }
figcaption { font-size: .875rem; }
img { width: 100%; height: auto; background: #fff; border-radius: 4px; }
@media print {
  :root { --ink: #000; --paper: #fff; --band: #fff; }
  body { max-width: none; padding: 0; font-size: 9pt; }
  nav { display: none; }
  .table { overflow: visible; }
  table { font-size: 7pt; }
  th, td { padding: .1rem .3rem; white-space: normal; }
  figure, tr { break-inside: avoid; }
}
"""

# A click on a heading sorts by its column: numbers by size, "1.5 ± 0.2" by what it begins with.
_SCRIPT = """
const value = (row, column) => {
  const text = row.cells[column].textContent.replaceAll(",", "").replace("<", "").trim();
  const number = parseFloat(text);
  return Number.isNaN(number) ? text : number;
};
for (const heading of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => {
    const table = heading.closest("table"), column = heading.cellIndex;
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].sort((one, other) => {
      const [a, b] = [value(one, column), value(other, column)];
      const order = typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  });
}
"""


def page(title: str, markdown: str, pictures: Sequence[tuple[pathlib.Path, str]]) -> str:
    """The whole HTML.

    Args:
      title: of the page.
      markdown: text and tables under headings of the third level. Pictures come after what is under the first.
      pictures: SVG files, each with a line that says what it shows.
    """
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    parts, links = body.split("<h3>"), []
    sections = [parts[0]]
    for number, part in enumerate(parts[1:]):
        links.append(f'<li><a href="#s{number}">{part.partition("</h3>")[0]}</a></li>')
        sections.append(f'<h2 id="s{number}">' + part.replace("</h3>", "</h2>", 1))
    figures = "".join(_figure(path, caption) for path, caption in pictures)
    return document(
        title,
        f"<nav><ul>{''.join(links)}</ul></nav>\n<main>\n{''.join(sections[:2])}"
        f'<div class="figures">{figures}</div>\n{"".join(sections[2:])}</main>\n',
        script=_SCRIPT,
    )


def document(title: str, body: str, style: str = "", script: str = "", data: Mapping[str, Any] | None = None) -> str:
    """A page with a heading: light or dark as the reader's system is, and readable on a phone.

    Args:
      title: of the page, and its heading.
      body: HTML below the heading.
      style: more CSS.
      script: runs when all is there.
      data: what the script finds, as JSON, in the element "data".
    """
    name = html.escape(title)
    # "</script>" in a sentence would end the element: "<" is written as JSON's escape.
    given = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c") if data else ""
    element = f'<script type="application/json" id="data">{given}</script>\n' if data else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{name}</title>\n<link rel="icon" href="data:,">\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n'
        f"<h1>{name}</h1>\n{body}{element}<script>{script}</script>\n</body>\n</html>\n"
    )


def _figure(path: pathlib.Path, caption: str) -> str:
    # As an image and not as elements of the page: what one drawing calls its parts another does, too.
    data = base64.b64encode(path.read_bytes()).decode()
    text = html.escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/svg+xml;base64,{data}"><figcaption>{text}</figcaption></figure>\n'
    )
