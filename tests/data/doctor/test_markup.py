"""Which tags and entities are markup, and what remains of a line without them."""

import pytest

from transformer.data.doctor.markup import first_entity, first_tag, without_markup


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Un <b>grand</b> chat.", "Un grand chat."),
        ("H<sub>2</sub>O", "H2O"),
        ("<p>Un chat.", " Un chat."),
        ("Un chat.</p>", "Un chat. "),
        ('<a href="x.html">Un chat</a>', "Un chat"),
        ("Un<br/>chat", "Un chat"),
        ('Un <seg id="1">chat</seg>', "Un chat"),
        ("Un <seg>chat</seg>", "Un chat"),
        ('Un <img src="a.png" alt=x> chat', "Un   chat"),
    ],
)
def test_certain_markup_is_removed(line: str, expected: str) -> None:
    assert first_tag(line) == line.index("<")
    assert without_markup(line) == (expected, True)


@pytest.mark.parametrize(
    "line",
    [
        "Il a crié <<Bonjour à tous>> ici.",
        "Si a <b et c> d, x <i> y.",
        "Le <unk> de Marie.",
        "openssl x509 -in <file> -text",
        "#include <vector> et <https://example.org>",
        "Marie <marie@example.org>",
        "les sections <p> et <em> du texte",
        "du HTML avec <b>des balises</b> et &eacute;",
        "a < b > c",
    ],
)
def test_other_angle_brackets_stay(line: str) -> None:
    assert first_tag(line) is None
    assert without_markup(line) == (line, True)


def test_a_comment_with_words_loses_them() -> None:
    assert without_markup("Un <!-- mot --> chat") == ("Un   chat", False)
    assert without_markup("Un <!-- --> chat") == ("Un   chat", True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("R&amp;D", "R&D"),
        ("L&amp;#39;homme", "L'homme"),
        ("&lt;b&gt;gras&lt;/b&gt;", "gras"),
        ("AT&T; &copy_file &notation; &eacute;", "AT&T; &copy_file &notation; é"),
        ("f(a&lt, b)", "f(a&lt, b)"),
    ],
)
def test_single_entities_are_unescaped(line: str, expected: str) -> None:
    assert (first_entity(line) is not None) == ("&" in line and line != expected)
    assert without_markup(line)[0] == expected
