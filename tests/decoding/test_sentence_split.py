"""Long text in parts: where sentences end, what happens where none does, and that nothing is lost."""

import random

import pytest

from transformer.decoding.sentence_split import joined, parts, sentences
from transformer.decoding.translate import Translation


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    "expected",
    [
        ["Un chien court.", "Il est noir !", "Où va-t-il ?", "Je ne sais pas…", "Fin"],
        ["M. Dupont dort.", "Mme. Roy, elle, lit p. 7."],
        ["J. R. Tolkien écrit.", "Le Dr. Watson lit."],
        ["« Viens ! » dit-elle.", "Il vint."],  # what goes on in lower case is the same sentence
        ["Il dit : « Viens ! »", "Elle vint."],
        ['He said "Come."', "(She did.)", "Then 3 men came.", "“Why?”", "- Because."],
        ["Il a 3.5 ans.", "Elle en a 4."],
        ["www.example.fr est un site. et rien d'autre"],
    ],
)
def test_sentences(expected):
    assert sentences("  ".join(expected)) == expected


def test_what_is_short_enough_is_left_alone():
    assert parts("Un chien.  Un chat. ", 4, words) == ["Un chien.  Un chat. "]


def test_parts_end_where_sentences_do_and_are_as_long_as_can_be():
    text = "Un deux. Trois quatre. Cinq. Six sept huit. Neuf."
    assert parts(text, 5, words) == ["Un deux. Trois quatre. Cinq.", "Six sept huit. Neuf."]
    assert parts(text, 3, words) == ["Un deux.", "Trois quatre. Cinq.", "Six sept huit.", "Neuf."]


def test_a_sentence_without_end_is_divided_at_commas_then_at_words_then_within():
    assert parts("un deux, trois quatre cinq six, sept", 3, words) == ["un deux,", "trois quatre cinq", "six, sept"]
    assert parts("abcdefgh", 3, len) == ["ab", "cd", "ef", "gh"]
    with pytest.raises(ValueError, match="'a' alone has 7 tokens, more than 3"):
        parts("aa", 3, lambda text: 7 * len(text))


def test_nothing_is_lost_and_nothing_is_too_long():
    draw = random.Random(5)
    for _ in range(200):
        text = "".join(draw.choice("ab B,.!?;: »\t") for _ in range(draw.randrange(60)))
        limit = draw.randrange(1, 20)
        found = parts(text, limit, len)
        assert "".join("".join(found).split()) == "".join(text.split())
        assert all(len(part) <= limit for part in found) or found == [text]


def test_translations_of_parts_are_joined_rank_by_rank():
    first = [Translation("a", -1.0, (5, 2)), Translation("b", -2.0, (6, 2))]
    assert joined([first]) == first
    assert joined([first, [Translation("c", -4.0, (7, 2))]]) == [
        Translation("a c", -5.0, (5, 2, 7, 2)),
        Translation("b c", -6.0, (6, 2, 7, 2)),
    ]
