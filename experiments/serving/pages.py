"""The server's pages: the translator and the description of the HTTP API. Both are self-contained."""

import html
import json
import string
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.serving import schema
from experiments.serving.examples import Examples
from experiments.web.page import html_document, read_static, report_page
from transformer.languages import language_name
from transformer.spec import DecodeSpec

ADDRESS = "SERVER_ADDRESS"  # replaced by the server's address in each response


def translator(direction: str, run: str, decode: DecodeSpec, examples: Examples, explains: bool = True) -> str:
    """Returns the translator page.

    Args:
      direction: Languages, as in "fr-en".
      run: Name of the run.
      decode: The run's settings, the initial values of the page's fields.
      examples: Sentences to click.
      explains: Whether the page has the view "Why this word?".
    """
    source, _, target = direction.partition("-")
    beam_size = min(decode.beam_size, schema.MAX_BEAM_SIZE)
    body = string.Template(read_static("translator.html")).substitute(
        run=html.escape(run),
        source=html.escape(language_name(source)),
        target=html.escape(language_name(target)),
        source_code=source,
        target_code=target,
        split=html.escape(examples.split),
        examples_hidden="" if examples.pairs else " hidden",
        examples="".join(
            f'<li><button type="button" lang="{source}" dir="auto">{html.escape(pair.source)}</button></li>'
            for pair in examples.pairs
        ),
        tabs_hidden="" if explains else " hidden",
        max_beam_size=schema.MAX_BEAM_SIZE,
        beam_size=beam_size,
        n_best=min(3, beam_size),
        length_penalty=decode.length_penalty,
    )
    data = {
        "maxCharacters": schema.MAX_CHARACTERS,
        "examples": [{"source": pair.source, "target": pair.target} for pair in examples.pairs],
    }
    title = f"{language_name(source)} to {language_name(target)}"
    style, script = read_static("translator.css", "why.css"), read_static("elements.js", "why.js", "translator.js")
    return html_document(title, body, style, script, data)


def documentation(openapi: Mapping[str, Any]) -> str:
    """Returns a page about the HTTP API, from its OpenAPI description."""
    intro = (
        f"{openapi['info']['description']} Programs can read [openapi.json](openapi.json), which is OpenAPI "
        f"{openapi['openapi']}. [Translator](./)\n\n"
        "Requests and responses are JSON. A wrong request gets a status from 400 to 499 and the response "
        '`{"error": "reason"}`.\n\n'
        f"    curl {ADDRESS}/translate -H 'content-type: application/json' -d '{{\"text\": \"Un chien dort.\"}}'\n"
    )
    return report_page(openapi["info"]["title"], intro + "\n".join(_sections(openapi)), [])


def _sections(openapi: Mapping[str, Any]) -> Iterator[str]:
    schemas = openapi["components"]["schemas"]
    described: dict[str, str] = {}  # request types and the route that describes them
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield f"\n### {method.upper()} {path}\n\n{operation['description']}\n"
            if "requestBody" in operation:
                request = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
                fields = f"As for {described[request]}.\n" if request in described else _fields(schemas[request])
                described.setdefault(request, f"{method.upper()} {path}")
                yield f"\n**Request**\n\n{fields}"
            response = operation["responses"]["200"]["content"].get("application/json", {}).get("schema", {})
            if "$ref" in response:
                name = response["$ref"].split("/")[-1]
                yield f"\n**Response**\n\n{_fields(schemas[name], has_defaults=False)}"
            errors = [
                (status, error["description"]) for status, error in operation["responses"].items() if status != "200"
            ]
            yield "\n**Errors**\n\n" + _table(("status", "reason"), errors) if errors else ""
    yield "\n### Types\n"
    for name in (
        "RankedTranslation",
        "TranslatedPart",
        "Hypothesis",
        "TokenizedText",
        "LayerAttention",
        "TokenAlternative",
        "MethodAttribution",
        "LayerPrediction",
        "PieceProbability",
        "PartEffects",
    ):
        yield f"\n**{name}**: {schemas[name]['description']}\n\n{_fields(schemas[name], has_defaults=False)}"


def _fields(model: Mapping[str, Any], has_defaults: bool = True) -> str:
    """Returns a table of an object's fields, with defaults for requests."""
    rows = []
    for name, field in model["properties"].items():
        default = "required" if name in model.get("required", []) else json.dumps(field.get("default"))
        rows.append((name, _type(field), *([default] if has_defaults else []), field.get("description", "")))
    return _table(("field", "type", *(["default"] if has_defaults else []), "description"), rows)


_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "maxLength": "at most {} characters",
    "maxItems": "at most {}",
}


def _type(field: Mapping[str, Any]) -> str:
    """Returns a field's type and limits in words."""
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    if "$ref" in field:
        return field["$ref"].split("/")[-1]
    if "enum" in field:
        return " or ".join(map(json.dumps, field["enum"]))
    name = field.get("type", "any")
    if name == "array":
        name = f"list of {_type(field['items'])}" if "items" in field else "list"
    limits = [text.format(_plain(field[key])) for key, text in _LIMITS.items() if key in field]
    return ", ".join([name, *limits])


def _plain(number: float) -> str:
    return str(int(number) if number == int(number) else number)


def _table(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headers, ("---",) * len(headers), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)
