"""Splits text that is too long for a model into segments that are short enough, and joins their translations.

A segment ends at the end of a sentence. Only a sentence that is too long by itself is split further: after punctuation
within it, else between words, else, where a script has no spaces, between characters. Text is joined by a space, and by
nothing after a Chinese or Japanese character. Language codes at the start of
the text, such as ">>fr<<", begin every segment. The time is almost linear in the length of the text.
"""

import re
from collections.abc import Callable, Sequence

from transformer.decoding.translate import Translation

# Punctuation that ends a sentence, closing quotes and brackets, and a space, before a character that can start a
# sentence: any letter or digit except, see `split_sentences`, a lower-case one. The marks are those of Latin, Greek and
# Cyrillic, Arabic, Urdu, Armenian, Indic, Burmese, Khmer, Ethiopic and Tibetan text. Runs of spaces are possessive:
# retries would take quadratic time. Second, Chinese and Japanese marks, which no space follows.
_SENTENCE = re.compile(
    r"""(?<=[.!?…؟۔։।॥။៕።་།])([»”"'’)\]]*)(\s*+[»”])?\s++(?=[«“"'‘(\[¿¡\-–—]*+\s*+([^\W_]))"""
    r"""|(?<=[。！？｡])([」』）”’"'）]*)\s*+(?=\S)()()"""
)
# Abbreviations before a full stop that does not end a sentence: titles and similar in French and English, and initials
# of any alphabet.
_ABBREVIATION = re.compile(
    r"(?i)(?:^|[\s(«“\"'’-])(?:[^\W\d_]|mm|mme|mlle|dr|pr|prof|st|ste|mr|mrs|ms|jr|sr|no|vs|cf|ex|env|art|fig|vol|chap|"
    r"p\.\s?ex|e\.g|i\.e|av|janv|févr|avr|juil|sept|oct|nov|déc|jan|feb|aug|dec)\.$"
)
_LONGEST_ABBREVIATION = 12  # characters, at least one before the abbreviation included
_CLAUSE = re.compile(r"(?<=[;:,—–؛،፣])\s+|(?<=[，、；：])\s*")
_UNSPACED = re.compile("[\u2e80-\u312f\u31a0-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff9f]")  # Chinese, Japanese
_WORD = re.compile(r"\s+")
# Codes of the target language: ">>fra<<" of OPUS-MT, "<2fr>" of Johnson et al. 2017.
_CODES = re.compile(r"(?:(?:>>[^\s<>]+<<|<2[\w-]+>)\s*+)+")

TokenCount = Callable[[str], int]  # number of tokens of a text


def split_sentences(text: str) -> list[str]:
    """Splits a text into sentences by their punctuation; spaces between sentences are dropped.

    Full stops of abbreviations are known for French and English.
    """
    sentences, start = [], 0
    for match in _SENTENCE.finditer(text):
        if match[3] and match[3].islower():
            continue
        end = max(map(match.end, (1, 2, 4)))
        # A window, because the part since `start` may be long. A space precedes every `start` other than 0.
        window = max(0, start - 1, match.start() - _LONGEST_ABBREVIATION)
        if not _ABBREVIATION.search(text, window, match.start()):
            sentences.append(text[start:end])
            start = match.end()
    return [sentence for sentence in (*sentences, text[start:]) if sentence.strip()]


def split_codes(text: str) -> tuple[str, str]:
    """Splits a text into the language codes at its start, with the spaces that follow them, and the rest."""
    match = _CODES.match(text)
    end = match.end() if match else 0
    return text[:end], text[end:]


def split_text(text: str, limit: int, length: TokenCount) -> list[str]:
    """Returns the text, or if it has more than `limit` tokens, the longest possible segments of at most `limit`.

    The language codes of the text begin every segment, and count.

    Raises:
      ValueError: a single character, with the language codes, has more than `limit` tokens.
    """
    if length(text) <= limit:
        return [text]
    codes, rest = split_codes(text)
    segments = _pack(split_sentences(rest), limit, lambda segment: length(codes + segment), [_CLAUSE, _WORD])
    return [codes + segment for segment in segments] or [""]


def _pack(units: Sequence[str], limit: int, length: TokenCount, separators: list[re.Pattern[str]]) -> list[str]:
    """Joins consecutive units up to `limit` tokens; a unit that is too long by itself is split."""
    segments: list[str] = []
    start = 0
    while start < len(units):
        joined = _joinable(segments[-1], units, start, limit, length) if segments else 0
        if joined:
            segments[-1] = join_text((segments[-1], *units[start : start + joined]))
            start += joined
            continue
        if length(units[start]) > limit:
            segments += _split(units[start], limit, length, separators)
        else:
            segments.append(units[start])
        start += 1
    return segments


def _joinable(segment: str, units: Sequence[str], start: int, limit: int, length: TokenCount) -> int:
    """Returns how many units from `start` on fit into the segment; counts the tokens of few candidates."""

    def fits(count: int) -> bool:
        return length(join_text((segment, *units[start : start + count]))) <= limit

    known, bound = 0, len(units) - start + 1  # `known` units fit, `bound` units do not
    step = 1
    while known + step < bound and fits(known + step):
        known, step = known + step, step * 2
    bound = min(bound, known + step)
    while bound - known > 1:
        middle = (known + bound) // 2
        known, bound = (middle, bound) if fits(middle) else (known, middle)
    return known


def _split(text: str, limit: int, length: TokenCount, separators: list[re.Pattern[str]]) -> list[str]:
    """Splits at the first of `separators`; parts that are still too long at the others, then between characters."""
    if separators:
        units = [unit for unit in separators[0].split(text) if unit]
        return _pack(units, limit, length, separators[1:])
    if len(text) == 1:
        raise ValueError(f"{text!r} by itself has {length(text)} tokens, more than {limit}")
    middle = len(text) // 2
    segments = []
    for half in (text[:middle], text[middle:]):
        segments += [half] if length(half) <= limit else _split(half, limit, length, [])
    return segments


def join_text(parts: Sequence[str]) -> str:
    """Joins parts of a text by a space, and by nothing after a Chinese or Japanese character or mark."""
    return "".join(part if not i or _UNSPACED.match(parts[i - 1][-1:]) else f" {part}" for i, part in enumerate(parts))


def join_translations(segments: Sequence[Sequence[Translation]]) -> list[Translation]:
    """Joins the translations of a text's segments rank by rank: the best of all, the second best of all, and so on.

    A segment with fewer translations than others repeats its last one. Scores are added. The translations of a single
    segment are returned unchanged.
    """
    if len(segments) == 1:
        return list(segments[0])
    joined = []
    for rank in range(max(map(len, segments), default=0)):
        chosen = [translations[min(rank, len(translations) - 1)] for translations in segments]
        text = join_text([translation.text for translation in chosen])
        tokens = tuple(token for translation in chosen for token in translation.tokens)
        joined.append(Translation(text, sum(translation.score for translation in chosen), tokens))
    return joined
