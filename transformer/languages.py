"""Codes of languages by ISO 639, and their English names."""

import functools
import re
from typing import Any

from transformer.section import require

_USUAL = {"fr": "French", "en": "English"}  # need no tables, which take a tenth of a second to read
_WORD = re.compile("[\u2e80-\u9fff\uf900-\ufaff]|[^\\s\u2e80-\u9fff\uf900-\ufaff]+")


def language_name(code: str) -> str:
    """Returns the English name of a language, such as "German" for "de"; raises ValueError for an unknown code."""
    if name := _USUAL.get(code):
        return name
    found = _find(code)
    require(found is not None, f"{code!r} is no ISO 639 code of a language")
    return found.name.partition(" (")[0]  # without the years of "Modern Greek (1453-)"


def is_short_code(text: str) -> bool:
    """Whether a text is the two-letter code of a language."""
    return text in _USUAL or (len(text) == 2 and text.isascii() and _find(text) is not None)


def short_code(code: str) -> str:
    """Returns the two-letter code of a code with three letters ("de" for "deu" or "ger"); other text is unchanged."""
    found = _find(code) if len(code) == 3 and code.isascii() else None
    return found.part1 or code if found else code


def count_words(text: str) -> int:
    """Returns the number of words between spaces; each Chinese or Japanese character is one."""
    return len(_WORD.findall(text))


def require_direction(key: str, direction: str) -> None:
    """Raises a ValueError unless `direction` has the codes of two languages, as in "fr-en"."""
    codes = direction.split("-")
    require(len(codes) == 2, f"{key}: {direction!r} is not a source and a target language, as in fr-en or en-de")
    for code in codes:
        if code in _USUAL:
            continue
        found = _find(code.lower()) or _named(code)
        hint = f"; did you mean {found.part1 or found.part3}?" if found else ""
        known = found is not None and code == (found.part1 or found.part3)
        kind = "ISO 639 code of a language (two letters, or three if there are no two)"
        require(known, f"{key}: {direction!r}: {code!r} is no {kind}{hint}")
    require(codes[0] != codes[1], f"{key}: {direction!r} has the same language twice")


@functools.cache
def _find(code: str) -> Any:
    """Returns the entry of a code with two or three letters; None if it is no language."""
    from iso639 import Language, LanguageNotFoundError  # lazily: reads its tables

    for part in (Language.from_part1, Language.from_part3, Language.from_part2b):
        try:
            found = part(code)
        except LanguageNotFoundError:
            continue
        return None if found.scope == "S" else found  # S: "multiple languages", "undetermined" and others
    return None


def _named(name: str) -> Any:
    from iso639 import Language, LanguageNotFoundError

    try:
        return Language.from_name(name.capitalize())
    except LanguageNotFoundError:
        return None
