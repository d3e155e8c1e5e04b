"""Text for a trained model: characters that the vocabulary lacks become equivalent ones that it has.

Text that the vocabulary covers is unchanged, bit for bit. Elsewhere, and only for characters that it lacks:

* letters and their combining accents become one character (Unicode normal form C);
* no-break, thin and other spaces, and separators of lines and paragraphs, become a space;
* zero-width characters, byte order marks, soft hyphens and control characters are dropped;
* quotes, dashes and ellipses become other ones of their kind, preferably the plain ones, "œ" becomes "oe"; double
  quotes are left out, with a warning, if the vocabulary has none;
* compatibility characters, such as ligatures and full-width letters, become plain ones (Unicode normal form KC);
* a letter of another alphabet becomes its look-alike, if the rest of the word is in that alphabet: a Cyrillic "а" in
  "chat".

What remains is unknown to the model. A line without a known letter or digit is not changed, so that it can be copied.
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import UNK

# Punctuation of the same kind: plain, opening, closing, and rarely typed characters.
_KINDS = (("'", "‘‚‹", "’›", "ʼ′‛´`"), ('"', "“„«", "”»", "″‟"), ("-", "", "–—‐‑", "−‒―"))
_SPELLINGS = {"…": "...", "œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE", "ß": "ss", "⁄": "/", "∕": "/"}
_LOOK_ALIKES = (
    "aа", "cс", "eе", "iі", "jј", "oоο", "pрρ", "sѕ", "xх", "yу", "hһ", "AАΑ", "BВΒ", "CС", "EЕΕ", "HНΗ", "IІΙ", "JЈ",
    "KКΚ", "MМΜ", "NΝ", "OОΟ", "PРΡ", "SЅ", "TТΤ", "XХΧ", "YУΥ", "ZΖ", "ëё", "ïї",
)  # fmt: skip
_SPACES = frozenset(("Zs", "Zl", "Zp"))  # Unicode categories; a line separator within a line ends no line
_INVISIBLE = frozenset(("Cc", "Cf"))
_UNSEEN = _SPACES | _INVISIBLE
# Letters and marks without a shape: Hangul fillers, the blank of Braille, the grapheme joiner, variation selectors.
_SHAPELESS = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5" + "".join(map(chr, range(0xFE00, 0xFE10))))
_JOINERS = frozenset("\u200c\u200d\ufe0e\ufe0f")  # part of an emoji or of a word of another script
_WORD = re.compile(r"[^\W\d_]+")
_CONJOINING = range(0x1160, 0x1200)  # vowels and final consonants of Hangul, which follow a consonant
_MOST_NAMED = 8  # characters that a warning names


class InputLine(NamedTuple):
    """A line for the model.

    Attributes:
      text: the text to translate; empty if the line is blank.
      unknown: the characters of the line that the vocabulary lacks and that have no equivalent, each once.
    """

    text: str
    unknown: tuple[str, ...] = ()

    def warning(self, number: int) -> str | None:
        """Returns a warning that names line `number` and its unknown characters; None if there are none."""
        if not self.unknown:
            return None
        names = ", ".join(map(_name, self.unknown[:_MOST_NAMED]))
        more = f" and {len(self.unknown) - _MOST_NAMED} more" if len(self.unknown) > _MOST_NAMED else ""
        return f"line {number}: the vocabulary lacks {names}{more}; the translation may be wrong there"


def is_blank(text: str) -> bool:
    """Returns whether a text has no visible character: only white space, control and zero-width characters."""
    first = text[:1]
    if first.isalnum() and first not in _SHAPELESS:  # almost always, and fast
        return False
    return all(character in _SHAPELESS or unicodedata.category(character) in _UNSEEN for character in text)


class InputText:
    """Prepares lines for a trained model. Every text that a trained model reads passes through it.

    Args:
      tokenizer: tokenizer of the model.
      split_codes: splits a text into its language codes, such as ">>fr<<", and the rest.
    """

    def __init__(
        self, tokenizer: Tokenizer, split_codes: Callable[[str], tuple[str, str]] = lambda text: ("", text)
    ) -> None:
        self._tokenizer, self._split_codes = tokenizer, split_codes
        self._known = functools.lru_cache(1 << 14)(lambda text: UNK not in tokenizer.encode(text))

    def read(self, lines: Sequence[str]) -> list[InputLine]:
        """Returns each line as the model reads it."""
        lines = ["" if is_blank(self._split_codes(line)[1]) else line for line in lines]
        ids = self._tokenizer.encode_batch(lines)
        return [self._read(line) if UNK in tokens else InputLine(line) for line, tokens in zip(lines, ids, strict=True)]

    def uncovered(self, text: str) -> str | None:
        """Returns the text, without language codes, if it has unknown characters and no known letter or digit."""
        codes, rest = self._split_codes(text)
        unknown = self._unknown_positions(text)
        known = (index for index in range(len(codes), len(text)) if index not in unknown)
        return rest if unknown and not any(text[index].isalnum() for index in known) else None

    def _read(self, line: str) -> InputLine:
        text = self._with_look_alikes(line)
        unknown = self._unknown_positions(text)
        output: list[str | None] = []
        quotes: dict[str, None] = {}  # those that are left out
        for start, end in _clusters(text):
            cluster = text[start:end]
            if unknown.isdisjoint(range(start, end)):
                output.append(cluster)
                continue
            for character in unicodedata.normalize("NFC", cluster):
                replaced = self._replace(character, output[-1] or "" if output else "")
                if replaced == character and character in "".join(_KINDS[1]) and not self._known(character):
                    quotes[character] = replaced = None
                output.append(replaced)
        text = _joined(output)
        if is_blank(self._split_codes(text)[1]):
            return InputLine("")
        if self.uncovered(text) is not None:
            text = line
        remaining = quotes | dict.fromkeys(text[index] for index in sorted(self._unknown_positions(text)))
        return InputLine(text, tuple(c for c in remaining if not is_blank(c)))

    def _unknown_positions(self, text: str) -> set[int]:
        return {index for span in self._tokenizer.unknown_spans(text) for index in range(*span)}

    def _replace(self, character: str, before: str) -> str | None:
        """Returns what stands for a character after the text `before`; None: a space."""
        if self._known(character):
            return character
        if character in _JOINERS and before and not self._known(before):
            return character
        category = unicodedata.category(character)
        if category in _SPACES or character.isspace():
            return None
        if category in _INVISIBLE or character in _SHAPELESS:
            return ""
        return next(self._equivalents(character), character)

    def _equivalents(self, character: str) -> Iterator[str]:
        """Yields equivalents of a character that the vocabulary has, the best first."""
        for plain, opening, closing, others in _KINDS:
            if character in plain + opening + closing + others:
                pair = opening + closing if character in opening else closing + opening
                yield from filter(self._known, plain + pair + others)
        plain = unicodedata.normalize("NFKC", character)
        for text in (_SPELLINGS.get(character, ""), "" if " " in plain or plain == character else plain):
            # The equivalent may itself have other spellings: U+2011 is U+2010, which is a kind of hyphen.
            known = "".join(c if self._known(c) else next(self._equivalents(c), "\0") for c in text)
            if known and "\0" not in known:
                yield known

    def _with_look_alikes(self, text: str) -> str:
        """Replaces unknown letters that look like letters of the word's own alphabet."""
        unknown = {index for index in self._unknown_positions(text) if not self._known(text[index])}
        replaced = list(text)
        for word in _WORD.finditer(text):
            positions = range(*word.span())
            scripts = {_script(text[index]) for index in positions if index not in unknown}
            for index in unknown.intersection(positions):
                alike = next((group for group in _LOOK_ALIKES if text[index] in group), "")
                same = (letter for letter in alike if _script(letter) in scripts and self._known(letter))
                replaced[index] = next(same, text[index])
        return "".join(replaced)


def _joined(parts: Sequence[str | None]) -> str:
    """Joins parts; None is a space, and spaces next to it are the same space; there is none at an end of the text."""
    text, space = "", False
    for part in parts:
        if part is None:
            space = True
        elif part:
            between = not text or text.endswith(" ")
            if space and between and part == " ":
                continue
            text += " " if space and not between and part != " " else ""
            text, space = text + part, False
    return text[:-1] if space and text.endswith(" ") else text


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Yields the first and the end (exclusive) position of each character with the accents that follow it."""
    start = 0
    for index in range(1, len(text) + 1):
        attached = index < len(text) and (unicodedata.combining(text[index]) or ord(text[index]) in _CONJOINING)
        if not attached:
            yield start, index
            start = index


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


def _name(character: str) -> str:
    code = f"U+{ord(character):04X}"
    if not character.isprintable() or character.isspace():
        return code
    return f"{'◌' if unicodedata.combining(character) else ''}{character} ({code})"
