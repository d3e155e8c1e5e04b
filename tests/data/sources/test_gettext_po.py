import pytest

from transformer.data.sources.gettext_po import read_po

HEADER = 'msgid ""\nmsgstr ""\n"Language: {language}\\n"\n"Content-Type: text/plain; charset={charset}\\n"\n\n'
MESSAGES = r"""
# translator
#: src/a.c:3
msgid "Open the file"
msgstr "Ouvrir le fichier"

#, fuzzy
msgid "Close"
msgstr "Clore"

msgid "Not translated"
msgstr ""

msgctxt "menu"
msgid ""
"A long message,\n"
"with \"quotes\"."
msgstr ""
"Un long message,\n"
"avec « guillemets »."

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d fichier"
msgstr[1] "%d fichiers"

#~ msgid "Old"
#~ msgstr "Ancien"
"""
PAIRS = [
    ("Ouvrir le fichier", "Open the file"),
    ("Un long message, avec « guillemets ».", 'A long message, with "quotes".'),
    ("%d fichier", "%d file"),
    ("%d fichiers", "%d files"),
]


def write(path, text, language="fr_FR", charset="UTF-8"):
    path.write_bytes((HEADER.format(language=language, charset=charset) + text).encode(charset))
    return path


@pytest.mark.parametrize("charset", ["UTF-8", "ISO-8859-1"])
def test_translated_messages_are_pairs(tmp_path, charset):
    path = write(tmp_path / "fr.po", MESSAGES, charset=charset)
    assert list(read_po(path, "fr", "en")) == PAIRS
    assert list(read_po(path, "en", "fr")) == [pair[::-1] for pair in PAIRS]


def test_the_header_names_the_language_of_the_translations(tmp_path):
    text = 'msgid "Ouvrir"\nmsgstr "Open"\n'
    assert list(read_po(write(tmp_path / "en.po", text, "en"), "fr", "en")) == [("Ouvrir", "Open")]
    (tmp_path / "x.po").write_text('msgid "Open"\nmsgstr "Ouvrir"\n', encoding="utf-8")
    assert list(read_po(tmp_path / "x.po", "fr", "en")) == [("Ouvrir", "Open")]
    with pytest.raises(ValueError, match=r"de.po: the header has Language: de, which is neither fr nor en"):
        list(read_po(write(tmp_path / "de.po", text, "de"), "fr", "en"))


def test_a_separator_in_a_message_stays(tmp_path):
    path = write(tmp_path / "fr.po", 'msgid "one\u2028two"\nmsgstr "un\u2028deux"\n')
    assert list(read_po(path, "fr", "en")) == [("un\u2028deux", "one\u2028two")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('msgid "a"\nmsgstr "b\n', r"fr.po:7: not a PO file: neither a comment nor a keyword with a quoted string"),
        ('msgid "a"\nmsgstr "b" c"\n', r"fr.po:7: not a PO file: neither"),
        ('msgid "a"\nmsgstr "b\\"\n', r"fr.po:7: not a PO file: neither"),
        ('msgid "a"\nmsgstr "b"\nnonsense\n', r"fr.po:8: not a PO file: neither"),
        ('msgstr "b"\nmsgstr "b"\n', r"fr.po:6: not a PO file: a keyword or a string is out of place"),
        ('msgid "a"\nmsgstr ""\n', r"fr.po: no translated message"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        list(read_po(write(tmp_path / "fr.po", text), "fr", "en"))
    assert "\n" not in str(caught.value)


def test_a_byte_that_does_not_fit_the_charset_is_named(tmp_path):
    path = tmp_path / "fr.po"
    path.write_bytes(b'msgid "a"\nmsgstr "d\xe9j\xe0"\n')
    with pytest.raises(ValueError, match=r"fr.po:2: not UTF-8: byte 0xe9 at byte 10 of the line"):
        list(read_po(path, "fr", "en"))
