"""Rules by which SentencePiece takes case and typography from text: lower-case letters, plain quotes, words after "'".

Papers on Multi30k, and many on small corpora, learn from text that was lower-cased, whose punctuation was normalised,
and that Moses's tokenizer has divided, in French after an apostrophe ("l' homme"). In a vocabulary without these rules
"homme" after "l'" is another piece than "homme" after a space, and "Un" another than "un": so much is to be learnt
twice. The rules are part of the SentencePiece model, which undoes the division of "l' homme" when it decodes.
"""

_APOSTROPHE = "'"
# Of scripts whose letters have case, blocks that were whole before the oldest Python we run on: the rules are a part of
# the vocabulary, and must not depend on which Unicode a Python knows.
_BLOCKS = (range(0x41, 0x250), range(0x370, 0x530), range(0x531, 0x557), range(0x1E00, 0x2000))
_TYPOGRAPHY = {
    "’": _APOSTROPHE, "‘": _APOSTROPHE, "‚": _APOSTROPHE, "`": _APOSTROPHE, "´": _APOSTROPHE,
    "“": '"', "”": '"', "„": '"', "«\u00a0": '"', "\u00a0»": '"', "«\u202f": '"', "\u202f»": '"', "« ": '"', " »": '"',
    "«": '"', "»": '"', "–": "-", "—": "-", "…": "...", "\u00a0": " ", "\u202f": " ",
}  # fmt: skip


def rules() -> tuple[str, str]:
    """SentencePiece's tables for encoding and decoding: on each line what is replaced, and by what, as code points.

    What decoding undoes is the space after an apostrophe. A text's own space there is a second one, and stays.
    """
    letters = {chr(code): chr(code).lower() for block in _BLOCKS for code in block}
    plain = {letter: lower for letter, lower in letters.items() if lower != letter} | _TYPOGRAPHY
    plain |= {_APOSTROPHE: _APOSTROPHE}
    apart = _APOSTROPHE + " "
    encoding = {old: apart if new == _APOSTROPHE else new for old, new in plain.items()}
    return _table(encoding), _table({apart: _APOSTROPHE})


def _table(replacements: dict[str, str]) -> str:
    return "".join(f"{_points(old)}\t{_points(new)}\n" for old, new in replacements.items())


def _points(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)
