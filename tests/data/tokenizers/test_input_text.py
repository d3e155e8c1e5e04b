"""Characters that a vocabulary lacks."""

import unicodedata

import pytest

from transformer.data.tokenizers.input_text import InputLine, InputText, is_blank
from transformer.data.tokenizers.sentencepiece import Tokenizer

TEXTS = ["Où est le chat ?", "l'été, un garçon - fin.", 'He said "the cat\'s" coeur x2']


def input_text(texts: list[str], uncased: bool = False) -> InputText:
    characters = {character for text in texts for character in text}
    tokenizer = Tokenizer.train_from_texts(texts, len(characters) + 7, "bpe", uncased)

    def split_codes(text: str) -> tuple[str, str]:
        end = text.find("<< ") + 3 if text.startswith(">>") else 0
        return text[:end], text[end:]

    return InputText(tokenizer, split_codes)


@pytest.fixture(scope="module")
def plain() -> InputText:
    return input_text(TEXTS)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Où est le chat\u00a0?", "Où est le chat ?"),
        ("Où est le chat\u202f?", "Où est le chat ?"),
        ("Où\u2009est \u2003le\u3000chat ?", "Où est le chat ?"),
        (unicodedata.normalize("NFD", "Où est le garçon ?"), "Où est le garçon ?"),
        ("\ufeffOù est le chat ?", "Où est le chat ?"),
        ("Où est\u2028le\u2029chat\x85?", "Où est le chat ?"),
        ("\u200bOù e\u200cst\u2060 le cha\u200dt ?\u200e", "Où est le chat ?"),
        ("Où e\u00adst le ch\u00adat ?", "Où est le chat ?"),
        ("Où est le chаt ?", "Où est le chat ?"),  # Cyrillic а
        ("Οù est le сhat ?", "Où est le chat ?"),  # Greek Ο, Cyrillic с
        ("l’été l‘été lʼété", "l'été l'été l'été"),
        ("un “chat” «\u00a0fin\u00a0»", 'un "chat" " fin "'),
        ("un chat – fin — fin ‑ fin − fin", "un chat - fin - fin - fin - fin"),
        ("fin…", "fin..."),
        ("ﬁn ｃｈａｔ x²", "fin chat x2"),
        ("le cœur", "le coeur"),
        ("\u00a0le chat\u00a0", "le chat"),
        ("le \u00a0chat", "le chat"),
        ("le  chat", "le  chat"),
        ("le  chat\u00a0?", "le  chat ?"),
    ],
)
def test_a_character_becomes_an_equivalent_one(plain: InputText, text: str, read: str) -> None:
    assert plain.read([text, "le chat"]) == [InputLine(read), InputLine("le chat")]
    assert plain.read([read]) == [InputLine(read)]


def test_text_that_the_vocabulary_covers_is_unchanged() -> None:
    texts = [
        "Où\u00a0est\u202fle chat\u2028?", unicodedata.normalize("NFD", "garçon été"), "\ufeffl’un “fin” – …", "ﬁn ｃ",
        "ch\u00adat а\u200b",
    ]  # fmt: skip
    covering = input_text(texts)
    assert covering.read(texts) == list(map(InputLine, texts))
    # Also next to a character that it lacks.
    assert covering.read([f"{text} 漢" for text in texts]) == [InputLine(f"{text} 漢", ("漢",)) for text in texts]


def test_a_vocabulary_of_typographic_characters_reads_plain_ones() -> None:
    typographic = input_text(["l’été “fin”", "un – deux"])
    assert typographic.read(["l'été « fin » - deux"]) == [InputLine("l’été “ fin ” – deux")]


def test_quotes_are_left_out_with_a_warning_if_the_vocabulary_has_none() -> None:
    without_quotes = input_text(["Le chat dort."])
    for text in ("« Le chat dort. »", "«\u00a0Le chat dort.\u00a0»"):
        assert without_quotes.read([text]) == [InputLine("Le chat dort.", ("«", "»"))]


def test_what_remains_unknown_is_named_once_by_line_and_code(plain: InputText) -> None:
    lines = plain.read(["le chat 😀 漢😀", "le chat", "le chat \u0302"])
    assert [line.text for line in lines] == ["le chat 😀 漢😀", "le chat", "le chat \u0302"]
    assert [line.warning(number) for number, line in enumerate(lines, 7)] == [
        "line 7: the vocabulary lacks 😀 (U+1F600), 漢 (U+6F22); the translation may be wrong there",
        None,
        "line 9: the vocabulary lacks ◌\u0302 (U+0302); the translation may be wrong there",
    ]
    (many,) = plain.read(["le chat абвгдежзийк"])
    assert "д (U+0434)" in str(many.warning(1))
    assert " and 3 more;" in str(many.warning(1))


@pytest.mark.parametrize("text", ["漢字", "😀😀", "Привет, мир!", "« 漢 »", "漢\u00a0字", "👩\u200d👩\u200d👧", "¿?"])
def test_a_line_without_a_known_word_is_not_changed(plain: InputText, text: str) -> None:
    (line,) = plain.read([text])
    assert line.text == text
    assert line.unknown
    assert plain.uncovered(text) == text
    assert plain.uncovered(f"le {text}") is None
    assert plain.uncovered(f">>le<< {text}") == text


def test_joiners_of_an_unknown_word_stay(plain: InputText) -> None:
    family = "👩\u200d👩\u200d👧\ufe0f"
    assert plain.read([f"le chat {family}"]) == [InputLine(f"le chat {family}", ("👩", "👧"))]
    assert plain.read(["le cha\u200dt\ufe0f"]) == [InputLine("le chat")]


def test_an_accented_letter_that_is_unknown_is_composed(plain: InputText) -> None:
    assert plain.read(["le n\u0303 chat"]) == [InputLine("le ñ chat", ("ñ",))]


def test_a_letter_of_a_foreign_word_has_no_look_alike(plain: InputText) -> None:
    """A Cyrillic word is unknown, although some of its letters look like Latin ones."""
    (line,) = plain.read(["le chat сосна"])
    assert line.text == "le chat сосна"
    assert line.unknown == tuple("сона")


def test_an_uncased_vocabulary_covers_what_its_rules_change() -> None:
    uncased = input_text(["l'homme est là.", 'un "chat" - fin...'], uncased=True)
    line = "L’HOMME\u00a0« EST » – là…"
    assert uncased.read([line, f"{line} 漢"]) == [InputLine(line), InputLine(f"{line} 漢", ("漢",))]


@pytest.mark.parametrize(
    "text", ["", "  ", "\u00a0", "\u2028\u2003", "\ufeff", "\u200b\u200d\u2060\u00ad", "\t\x01", "\u3164"]
)
def test_a_text_without_a_visible_character_is_blank(plain: InputText, text: str) -> None:
    assert is_blank(text)
    assert plain.read([text, f">>fra<< {text}"]) == [InputLine(""), InputLine("")]


@pytest.mark.parametrize("text", [".", "\u00a0a", "漢", "\u0301", "\ue000", "\U0001f600\ufe0f", "\U000e01f5x"])
def test_a_visible_character_is_not_blank(text: str) -> None:
    assert not is_blank(text)
