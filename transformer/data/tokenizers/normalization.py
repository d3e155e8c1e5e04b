"""SentencePiece normalization rules that remove case and typography: lower case, plain quotes, a split after "'".

Papers on Multi30k, and many on small corpora, train on lower-cased text with normalised punctuation, split by the Moses
tokenizer, which splits French after an apostrophe ("l' homme"). Without these rules, "homme" after "l'" and "homme"
after a space are different pieces, as are "Un" and "un": the model learns them twice. The rules are part of the
SentencePiece model, which removes the space of "l' homme" when it decodes.
"""

from collections.abc import Mapping

_APOSTROPHE = "'"
_SEPARATED = _APOSTROPHE + " "
# Unicode blocks of scripts with case, complete since before the oldest supported Python: the rules are part of the
# vocabulary and must not depend on the Unicode version of Python.
_BLOCKS = (range(0x41, 0x250), range(0x370, 0x530), range(0x531, 0x557), range(0x1E00, 0x2000))
_TYPOGRAPHY = {
    "’": _APOSTROPHE, "‘": _APOSTROPHE, "‚": _APOSTROPHE, "`": _APOSTROPHE, "´": _APOSTROPHE,
    "“": '"', "”": '"', "„": '"', "«\u00a0": '"', "\u00a0»": '"', "«\u202f": '"', "\u202f»": '"', "« ": '"', " »": '"',
    "«": '"', "»": '"', "–": "-", "—": "-", "…": "...", "\u00a0": " ", "\u202f": " ",
}  # fmt: skip


def replacements(uncased: bool, escapes: Mapping[str, str]) -> dict[str, str]:
    """Returns what encoding replaces: `escapes`, and if `uncased` case and typography."""
    if not uncased:
        return dict(escapes)
    letters = {chr(code): chr(code).lower() for block in _BLOCKS for code in block}
    plain = {letter: lower for letter, lower in letters.items() if lower != letter} | _TYPOGRAPHY
    plain |= {_APOSTROPHE: _APOSTROPHE}
    return {old: _SEPARATED if new == _APOSTROPHE else new for old, new in plain.items()} | dict(escapes)


def rule_tables(uncased: bool, escapes: Mapping[str, str]) -> tuple[str, str]:
    """Returns SentencePiece's tables for encoding and decoding: lines of code points and their replacements.

    Decoding restores the keys of `escapes`. If `uncased`, it removes one space after an apostrophe. A space of the text
    itself is the second one, and stays.
    """
    decoding = {new: old for old, new in escapes.items()}
    if uncased:
        decoding = {_SEPARATED: _APOSTROPHE} | decoding
    return _table(replacements(uncased, escapes)), _table(decoding)


def _table(replacements: dict[str, str]) -> str:
    return "".join(f"{_points(old)}\t{_points(new)}\n" for old, new in replacements.items())


def _points(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)
