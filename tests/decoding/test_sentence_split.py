"""Splitting long text: sentence boundaries, text without any, and that no text is lost."""

import random
import time

import pytest

from transformer.decoding.sentence_split import join_translations, split_codes, split_sentences, split_text
from transformer.decoding.translate import Translation


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    "expected",
    [
        ["Un chien court.", "Il est noir !", "Où va-t-il ?", "Je ne sais pas…", "Fin"],
        ["M. Dupont dort.", "Mme. Roy, elle, lit p. 7."],
        ["J. R. Tolkien écrit.", "Le Dr. Watson lit."],
        ["« Viens ! » dit-elle.", "Il vint."],  # a lower-case letter continues the sentence
        ["Il dit : « Viens ! »", "Elle vint."],
        ['He said "Come."', "(She did.)", "Then 3 men came.", "“Why?”", "- Because."],
        ["Il a 3.5 ans.", "Elle en a 4."],
        ["www.example.fr est un site. et rien d'autre"],
        ["Он пришёл. и ушёл.", "Хорошо!", "А. С. Пушкин?"],
        ["Čo je? čo.", "Šesť."],
        ["هل أنت هنا؟", "نعم، أنا هنا.", "حسنا."],
        ["यह एक घर है।", "वह बड़ा है।"],
    ],
)
def test_sentences(expected):
    assert split_sentences("  ".join(expected)) == expected


@pytest.mark.parametrize(
    "expected",
    [["今天天气很好。", "我们去公园吧！", "“真的吗？”", "好"], ["私は猫です。", "「本当？」", "OK。", "3匹。"]],
)
def test_chinese_and_japanese_sentences_need_no_space(expected):
    assert split_sentences("".join(expected)) == expected


def test_chinese_text_is_joined_without_spaces():
    text = "今天很好。我们去公园吧，真的吗，好。"
    assert split_text(text, 13, len) == ["今天很好。", "我们去公园吧，真的吗，好。"]
    assert split_text(text, 7, len) == ["今天很好。", "我们去公园吧，", "真的吗，好。"]
    parts = [[Translation(part, -1.0, ())] for part in ("你好。", "我很好。", "OK.", "Yes.")]
    assert join_translations(parts)[0].text == "你好。我很好。OK. Yes."


def test_text_that_is_short_enough_is_not_split():
    assert split_text("Un chien.  Un chat. ", 4, words) == ["Un chien.  Un chat. "]


def test_segments_end_with_sentences_and_are_as_long_as_possible():
    text = "Un deux. Trois quatre. Cinq. Six sept huit. Neuf."
    assert split_text(text, 5, words) == ["Un deux. Trois quatre. Cinq.", "Six sept huit. Neuf."]
    assert split_text(text, 3, words) == ["Un deux.", "Trois quatre. Cinq.", "Six sept huit.", "Neuf."]


def test_a_long_sentence_is_split_at_commas_then_at_words_then_within_words():
    assert split_text("un deux, trois quatre cinq six, sept", 3, words) == [
        "un deux,",
        "trois quatre cinq",
        "six, sept",
    ]
    assert split_text("abcdefgh", 3, len) == ["ab", "cd", "ef", "gh"]
    with pytest.raises(ValueError, match=r"'a' .* 7 tokens, more than 3"):
        split_text("aa", 3, lambda text: 7 * len(text))


def test_no_text_is_lost_and_no_segment_is_too_long():
    draw = random.Random(5)
    for _ in range(200):
        text = "".join(draw.choice("ab B,.!?;: »\t好。，") for _ in range(draw.randrange(60)))
        limit = draw.randrange(1, 20)
        segments = split_text(text, limit, len)
        assert "".join("".join(segments).split()) == "".join(text.split())
        assert all(len(part) <= limit for part in segments) or segments == [text]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (">>fr<< Un chat.", ">>fr<< "),
        (">>zho_Hans<<Un chat.", ">>zho_Hans<<"),
        ("<2fr> Un chat.", "<2fr> "),
        (">>fr<< >>formal<<  Un chat.", ">>fr<< >>formal<<  "),
        ("Un >>fr<< chat.", ""),
        (">> Un chat <<", ""),
        ("«Un chat»", ""),
        ("", ""),
    ],
)
def test_language_codes_are_separated_from_the_text(text, codes):
    assert split_codes(text) == (codes, text[len(codes) :])


def test_the_language_code_begins_every_segment_and_counts():
    text = ">>fr<< Un deux. Trois quatre cinq six sept."
    assert split_text(text, 8, words) == [text]
    assert split_text(text, 4, words) == [">>fr<< Un deux.", ">>fr<< Trois quatre cinq", ">>fr<< six sept."]
    assert split_text(">>fr<<" + " " * 50, 9, len) == [""]
    with pytest.raises(ValueError, match="'U' by itself has 8 tokens, more than 7"):
        split_text(">>fr<< Un", 7, len)


@pytest.mark.parametrize(
    "text",
    [
        "A. " * 20_000,
        "M. le chat, " * 5_000,
        "a." + " " * 60_000 + "b",
        "Un. " + "-" * 60_000,
        "é" * 60_000,
        "." * 60_000,
    ],
)
def test_splitting_takes_almost_linear_time(text):
    counted = 0

    def length(part):
        nonlocal counted
        counted += len(part)
        return len(part)

    start = time.monotonic()
    segments = split_text(text, 50, length)
    assert time.monotonic() - start < 2  # quadratic time would be minutes
    assert counted < 40 * len(text)
    assert max(map(len, segments)) <= 50
    assert "".join("".join(segments).split()) == "".join(text.split())


def test_translations_of_segments_are_joined_rank_by_rank():
    first = [Translation("a", -1.0, (5, 2)), Translation("b", -2.0, (6, 2))]
    assert join_translations([first]) == first
    assert join_translations([first, [Translation("c", -4.0, (7, 2))]]) == [
        Translation("a c", -5.0, (5, 2, 7, 2)),
        Translation("b c", -6.0, (6, 2, 7, 2)),
    ]
