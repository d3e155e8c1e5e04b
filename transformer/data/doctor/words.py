"""Words of any script, as the doctor compares them: in lower case, without accents of Latin letters, as UTF-8."""

import re
import unicodedata

# Scripts without spaces between words. A Chinese character counts as a word; of the others, up to four characters do.
_IDEOGRAPHIC = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_UNSPACED = "\u0e00-\u0eff\u0f00-\u0f0a\u0f0c-\u0fff\u1000-\u109f\u1780-\u17d3"  # Thai, Lao, Tibetan, Burmese, Khmer
# Vowel signs and accents, which are no letters for `re`, from Cyrillic to Sinhala.
_SIGNS = "\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u0900-\u0963\u0966-\u0dff"
_ACCENTS = re.compile("(?<=[a-z])[\u0300-\u036f]+")
_DIGITS = {
    code: str(unicodedata.digit(chr(code))) for code in range(0x80, 0x10000) if unicodedata.category(chr(code)) == "Nd"
}
_WORD = re.compile(
    f"[{_IDEOGRAPHIC}]|[{_UNSPACED}]{{1,4}}|(?:[^\\W_{_IDEOGRAPHIC}{_UNSPACED}]|[{_SIGNS}\u200c\u200d])+"
)


def words_of(line: str) -> list[bytes]:
    """Returns the words of a line."""
    text = line.lower()
    if not text.isascii():
        text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text).translate(_DIGITS))
        text = unicodedata.normalize("NFC", text)
    return [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text)]
