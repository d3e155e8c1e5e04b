"""Codes and names of languages, and the direction of a corpus."""

import pytest

from transformer.languages import count_words, is_short_code, language_name, require_direction, short_code


@pytest.mark.parametrize("direction", ["fr-en", "en-de", "zh-en", "ar-ja", "hsb-de", "en-yue"])
def test_two_codes_are_a_direction(direction):
    require_direction("data.direction", direction)


@pytest.mark.parametrize(
    ("direction", "message"),
    [
        ("fr", "'fr' is not a source and a target language, as in fr-en or en-de"),
        ("", "'' is not a source and a target language"),
        ("en-zh-TW", "'en-zh-TW' is not a source and a target language"),
        ("en-xx", "'en-xx': 'xx' is no ISO 639 code"),
        ("en-", "'en-': '' is no ISO 639 code"),
        ("german-en", "'german' is no ISO 639 code .*; did you mean de?"),
        ("deu-en", "'deu' is no ISO 639 code .*; did you mean de?"),
        ("ger-en", "; did you mean de?"),
        ("DE-en", "'DE' is no ISO 639 code .*; did you mean de?"),
        ("und-en", "'und' is no ISO 639 code"),
        ("de-de", "'de-de' has the same language twice"),
    ],
)
def test_other_directions_are_refused(direction, message):
    with pytest.raises(ValueError, match=f"^data.direction: .*{message}") as error:
        require_direction("data.direction", direction)
    assert "\n" not in str(error.value)


def test_names():
    names = {"fr": "French", "en": "English", "de": "German", "el": "Modern Greek", "yue": "Yue Chinese"}
    assert {code: language_name(code) for code in names} == names
    with pytest.raises(ValueError, match="'qq' is no ISO 639 code"):
        language_name("qq")


def test_short_codes():
    codes = {
        "fra": "fr",
        "fre": "fr",
        "eng": "en",
        "deu": "de",
        "ger": "de",
        "hsb": "hsb",
        "fr": "fr",
        "source": "source",
    }
    assert {code: short_code(code) for code in codes} == codes
    assert short_code("qqq") == "qqq"
    assert [is_short_code(text) for text in ("de", "fr", "txt", "", "qq", "DE")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_each_chinese_character_is_a_word():
    assert [count_words(text) for text in ("a cat", "我喜欢 cats", "", "ฉันรักแมว")] == [2, 4, 0, 1]
