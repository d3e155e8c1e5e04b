"""Reads PO files, the message catalogues of gettext."""

import pathlib
import re
from collections.abc import Iterator

import polib

from transformer.data.pairs import Pair
from transformer.data.sources.language_codes import find_language
from transformer.data.sources.text_files import decode, one_line, pieces

_CHARSET = re.compile(rb'^"Content-Type:[^"\n]*charset=([\w.:-]+)', re.MULTILINE | re.IGNORECASE)
_POLIB_LINE = re.compile(r"\(line (\d+)\)(?:: (.*))?")
_STRING = re.compile(r'(msg\w+(\[\d+\])?\s*)?"([^"\\]|\\.)*"')  # a keyword, or none, and a complete string


def read_po(path: pathlib.Path, source: str, target: str) -> Iterator[Pair]:
    """Yields the translated messages of a plain or compressed file; leaves out obsolete and fuzzy ones.

    The header's `Language` is the language of the translations, and the messages are in the other one of the two.
    Without a header, the messages are in English. Of a message with plural forms, the singular is paired with the first
    form and the plural with the last one.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is damaged or not PO, is in another language, or has no translated message.
    """
    catalogue = _parse(path)
    from_messages = _translates_into(path, catalogue.metadata.get("Language", ""), source, target) == target
    count = 0
    for entry in catalogue:
        if entry.obsolete or entry.fuzzy or not entry.msgid:
            continue
        forms = [text for _, text in sorted(entry.msgstr_plural.items())]
        pairs = [(entry.msgid, forms[0]), (entry.msgid_plural, forms[-1])] if forms else [(entry.msgid, entry.msgstr)]
        for message, translation in pairs:
            if translation:
                count += 1
                texts = one_line(message), one_line(translation)
                yield Pair(*(texts if from_messages else reversed(texts)))
    if not count:
        raise ValueError(f"{path}: no translated message")


class _Lines(str):
    """Text whose lines end only with a line feed, for polib; other separators are part of a message."""

    def splitlines(self, keepends: bool = False) -> list[str]:
        return self.split("\n")


def _parse(path: pathlib.Path) -> polib.POFile:
    data = b"".join(pieces(path))
    match = _CHARSET.search(data)
    charset = match[1].decode("ascii") if match else "utf-8"
    if charset.upper() == "CHARSET":  # the placeholder in a new catalogue
        charset = "utf-8"
    text = decode(data, path, encoding=charset).removeprefix("\ufeff")
    for number, line in enumerate(text.split("\n"), 1):  # polib drops the last letter of a string without an end
        line = line.strip()
        if line and not line.startswith("#") and not _STRING.fullmatch(line):
            raise ValueError(f"{path}:{number}: not a PO file: neither a comment nor a keyword with a quoted string")
    try:
        return polib.pofile(_Lines(f"\n{text}"))  # with a line feed: polib opens the file that a text names
    except OSError as error:
        match = _POLIB_LINE.search(str(error))
        place = f"{path}:{int(match[1]) - 1}" if match else path
        reason = match[2] if match and match[2] else "a keyword or a string is out of place"
        raise ValueError(f"{place}: not a PO file: {reason}") from error


def _translates_into(path: pathlib.Path, header: str, source: str, target: str) -> str:
    """Returns the language of the translations, which is `source` or `target`."""
    if not header:
        if "en" not in (source, target):
            raise ValueError(f"{path}: the header has no Language; add one of {source} and {target}")
        return source if target == "en" else target
    for language in (source, target):
        if find_language([header], language) is not None:
            return language
    raise ValueError(f"{path}: the header has Language: {header}, which is neither {source} nor {target}")
