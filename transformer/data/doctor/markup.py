"""HTML and XML in a line of text: the tags and entities that are certainly markup, and the line without them.

Text may contain angle brackets and names between them: placeholders (`<file>`), headers (`<vector>`), addresses and
formulas. A tag counts as markup only if it is closed, has attributes with values, or belongs to an element that needs
neither. A line about HTML or XML shows tags and entities to its readers, and has none.
"""

import html
import html.entities
import re

_NAMES = {
    "inline": """a abbr acronym b bdi bdo big cite code del dfn em font i ins kbd label mark q s samp small span strike
        strong sub sup tt u var""",
    "block": """address article aside blockquote body button caption center dd details div dl dt fieldset figcaption
        figure footer form h1 h2 h3 h4 h5 h6 head header html iframe li main nav object ol option p pre script section
        select style summary svg table tbody td textarea tfoot th thead title tr ul video audio canvas""",
    "void": "br hr img wbr input meta link col area embed source",
}
_INLINE, _BLOCK, _VOID = (frozenset(_NAMES[kind].split()) for kind in ("inline", "block", "void"))
_ELEMENTS = _INLINE | _BLOCK | _VOID
# Candidates: text that may be a tag or an entity.
_VALUE = "\"[^\"<>\\n]*\"|'[^'<>\\n]*'|[^\\s\"'<>=]+"
TAG = re.compile(
    rf"(?<!<)<(?P<end>/?)(?P<name>[A-Za-z][\w:.-]*)(?P<attributes>(?:[ \t]+[\w:.-]+(?:[ \t]*=[ \t]*(?:{_VALUE}))?)*)"
    r"[ \t]*(?P<closed>/?)>(?!>)|<!--[^\n]*?-->"
)
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ABOUT_MARKUP = re.compile(r"HTML|XML|SGML|\b(?:balises?|markup|tags?)\b")
_MAX_DEPTH = 3  # maximum number of nested escapes


def first_tag(line: str) -> int | None:
    """Returns the column of the first tag or comment of a line; None if it has none."""
    return next((tag.start() for tag in _tags(line)), None)


def first_entity(line: str) -> int | None:
    """Returns the column of the first HTML entity of a line; None if it has none."""
    if _ABOUT_MARKUP.search(line):
        return None
    return next((match.start() for match in ENTITY.finditer(line) if _unescaped(match) != match[0]), None)


def without_markup(line: str) -> tuple[str, bool]:
    """Returns the line with characters instead of entities and without tags, and whether it keeps all words."""
    if "&" in line and not _ABOUT_MARKUP.search(line):
        for _ in range(_MAX_DEPTH):
            line = ENTITY.sub(_unescaped, line)
    if ">" not in line:
        return line, True
    parts, keeps_words, end = [], True, 0
    for tag in _tags(line):
        keeps_words &= tag["name"] is not None or not re.search(r"\w", tag[0])  # words of a comment
        joins = tag["name"] is not None and tag["name"].lower() not in _BLOCK | _VOID
        parts += [line[end : tag.start()], "" if joins else " "]
        end = tag.end()
    return "".join([*parts, line[end:]]), keeps_words


def _unescaped(match: re.Match[str]) -> str:
    # `html.unescape` also decodes prefixes of unknown names, such as &not in &notation;.
    known = match[0].startswith("&#") or match[0][1:] in html.entities.html5
    return html.unescape(match[0]) if known else match[0]


def _tags(line: str) -> list[re.Match[str]]:
    """Returns the tags and comments of a line that are certainly markup."""
    tags = list(TAG.finditer(line))
    if not tags or _ABOUT_MARKUP.search(line):
        return []
    closed = _closed(tags)
    return [tag for number, tag in enumerate(tags) if number in closed or _is_complete(tag)]


def _closed(tags: list[re.Match[str]]) -> set[int]:
    """Returns the indices of opening tags with a later closing tag of the same name, and of these closing tags."""
    opened: dict[str, list[int]] = {}
    closed: set[int] = set()
    for number, tag in enumerate(tags):
        if tag["name"] is None or tag["closed"]:
            continue
        name = tag["name"].lower()
        if not tag["end"]:
            opened.setdefault(name, []).append(number)
        elif opened.get(name):
            closed |= {number, opened[name].pop()}
    return closed


def _is_complete(tag: re.Match[str]) -> bool:
    """Returns whether a tag is certainly markup without a partner in the same line."""
    if tag["name"] is None:  # a comment
        return True
    name, line = tag["name"].lower(), tag.string
    if tag["closed"] or re.search("=[ \t]*[\"']", tag["attributes"]):
        return True
    if name not in _ELEMENTS:
        return False
    at_edge = not line[tag.end() :].strip() if tag["end"] else not line[: tag.start()].strip()
    return name in _VOID or "=" in tag["attributes"] or (name in _BLOCK and at_edge)
