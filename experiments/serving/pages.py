"""The pages of the server: the translator, and what the API takes and gives. They need nothing from elsewhere."""

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.serving import schema
from experiments.serving.script import SCRIPT
from experiments.web.attention_script import ELEMENTS, STYLE
from experiments.web.page import document, page

_LANGUAGES = {"fr": "French", "en": "English"}

_STYLE = """
textarea { width: 100%; font: inherit; color: inherit; background: var(--band); border: 1px solid var(--faint);
  border-radius: 6px; padding: .6rem; resize: vertical; }
input[type=number] { width: 5.5rem; }
button.plain { font: inherit; color: inherit; background: var(--band); border: 1px solid var(--faint);
  border-radius: 4px; padding: .2rem .8rem; cursor: pointer; }
.fields { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; margin: .5rem 0; }
.fields label { font-size: .875rem; }
.fields select { max-width: 100%; }
#out { min-height: 3rem; font-size: 1.25rem; white-space: pre-wrap; overflow-wrap: anywhere; }
#out.going::after { content: " …"; opacity: .5; }
#status.wrong { color: light-dark(#b00020, #ff8a80); }
#best li { overflow-wrap: anywhere; }
#best button.word { text-align: left; }
.words { line-height: 2.2; }
.words button.word { background: color-mix(in srgb, var(--heat) calc(var(--w, 0) * 100%), transparent); }
"""

_BODY = """
<p class="note">The run <b>{run}</b>. <a href="docs">API</a></p>
<main>
<label for="text">{source}</label>
<textarea id="text" rows="3" lang="{source_code}" maxlength="{characters}" autofocus spellcheck="true"></textarea>
<div class="fields">
<label>search <select id="method"><option value="beam">beam</option><option value="sample">sampling</option>
</select></label>
<label data-of="beam">beams <input id="beam_size" type="number" min="1" max="{beams}" value="{beam_size}"></label>
<label data-of="beam">shown <input id="n_best" type="number" min="1" max="{beams}" value="{shown}"></label>
<label data-of="sample">temperature <input id="temperature" type="number" min="0.1" max="10" step="0.1" value="1">
</label>
<label data-of="sample">top p <input id="top_p" type="number" min="0.05" max="1" step="0.05" value="1"></label>
<label data-of="sample">seed <input id="seed" type="number" min="0" max="2147483647" value="0"></label>
<button id="go" class="plain" type="button">Translate</button>
</div>
<h2>{target}</h2>
<p id="out" lang="{target_code}" aria-live="polite"></p>
<p id="status" class="note" role="status"></p>
<ol id="best"></ol>
<section id="looks" hidden>
<h2>Where it looks</h2>
<p class="note">Hover or focus a word: of a translated one, where the model looked before it wrote it, and what else was
likely; of a source word, what was written while looking there.</p>
<div class="fields">
<label>sentence <select id="part"></select></label>
<label class="cross">layer <select id="layer"></select></label>
<label class="cross">head <select id="head"></select></label>
</div>
<p id="source-words" class="words" lang="{source_code}"></p>
<p id="target-words" class="words" lang="{target_code}"></p>
<p id="instead" aria-live="polite"></p>
</section>
<noscript>This page needs JavaScript; the <a href="docs">API</a> does not.</noscript>
</main>
"""


def translator(direction: str, run: str, beam_size: int) -> str:
    """The page one translates with."""
    source, _, target = direction.partition("-")
    body = _BODY.format(
        run=html.escape(run),
        source=_LANGUAGES[source],
        target=_LANGUAGES[target],
        source_code=source,
        target_code=target,
        characters=schema.CHARACTERS,
        beams=schema.BEAMS,
        beam_size=beam_size,
        shown=min(3, beam_size),
    )
    return document(f"{_LANGUAGES[source]} to {_LANGUAGES[target]}", body, STYLE + _STYLE, ELEMENTS + SCRIPT)


def documentation(openapi: Mapping[str, Any]) -> str:
    """What the API takes and gives, from its OpenAPI description."""
    intro = (
        f"{openapi['info']['description']} [The same for programs](openapi.json), as OpenAPI {openapi['openapi']}.\n\n"
        "Requests and answers are JSON. A mistake is answered with a status of 400 to 499 and "
        '`{"error": "what is wrong"}`.\n\n'
        "    curl HERE/translate -H 'content-type: application/json' -d '{\"text\": \"Un chien court.\"}'\n"
    )
    return page(openapi["info"]["title"], intro + "\n".join(_sections(openapi)), [])


def _sections(openapi: Mapping[str, Any]) -> Iterator[str]:
    schemas = openapi["components"]["schemas"]
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield f"\n### {method.upper()} {path}\n\n{operation['description']}\n"
            if "requestBody" in operation:
                asked = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
                yield f"\nThe request:\n\n{_fields(schemas[asked])}"
            answer = operation["responses"]["200"]["content"].get("application/json", {}).get("schema", {})
            if "$ref" in answer:
                yield f"\nThe answer:\n\n{_fields(schemas[answer['$ref'].split('/')[-1]], asked=False)}"
            rows = [(status, each["description"]) for status, each in operation["responses"].items() if status != "200"]
            yield "\nOther statuses:\n\n" + _table(("status", "when"), rows) if rows else ""
    yield "\n### Parts of answers\n"
    for name in ("Translation", "Part", "Hypothesis", "Side", "Attention", "Alternative"):
        yield f"\n**{name}**: {schemas[name]['description']}\n\n{_fields(schemas[name], asked=False)}"


def _fields(described: Mapping[str, Any], asked: bool = True) -> str:
    """A table of an object's fields; of what is asked also what stands for a field that is not given."""
    rows = []
    for name, field in described["properties"].items():
        default = "needed" if name in described.get("required", []) else json.dumps(field.get("default"))
        rows.append((name, _kind(field), *([default] if asked else []), field.get("description", "")))
    return _table(("field", "type", *(["default"] if asked else []), ""), rows)


_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "maxLength": "at most {} characters",
    "maxItems": "at most {}",
}


def _kind(field: Mapping[str, Any]) -> str:
    """A field's type and limits in words."""
    if "anyOf" in field:
        return " or ".join(_kind(each) for each in field["anyOf"])
    if "$ref" in field:
        return field["$ref"].split("/")[-1]
    if "enum" in field:
        return " or ".join(map(json.dumps, field["enum"]))
    kind = field.get("type", "any")
    if kind == "array":
        kind = f"list of {_kind(field['items'])}" if "items" in field else "list"
    limits = [text.format(_plain(field[name])) for name, text in _LIMITS.items() if name in field]
    return ", ".join([kind, *limits])


def _plain(number: float) -> str:
    return str(int(number) if number == int(number) else number)


def _table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "".join(f"| {' | '.join(each.replace('|', '&#124;') for each in line)} |\n" for line in lines)
