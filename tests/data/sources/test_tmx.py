import gzip
import textwrap

import pytest

from transformer.data.sources import text_files
from transformer.data.sources.tmx import read_tmx

UNITS = """
    <tu><tuv xml:lang="en"><seg>The cat &amp; the dog.</seg></tuv><tuv xml:lang="fr"><seg>Le chat &amp; le chien.</seg></tuv></tu>
    <tu>
      <note>ignored</note>
      <tuv xml:lang="fr-FR"><prop type="x">no text</prop><seg>Une <bpt i="1">&lt;b&gt;</bpt>grande<ept i="1">&lt;/b&gt;</ept>
        maison<ph><sub>x</sub></ph>.</seg></tuv>
      <tuv xml:lang="EN-GB"><seg>A <hi>big</hi> house.</seg></tuv>
    </tu>
    <tu><tuv xml:lang="de"><seg>Nur Deutsch.</seg></tuv><tuv xml:lang="fr"><seg>Sans anglais.</seg></tuv></tu>
    <tu><tuv lang="fr-CA"><seg>Un char.</seg></tuv><tuv lang="fr"><seg>Une voiture.</seg></tuv><tuv lang="en"><seg>A car.</seg></tuv></tu>
"""  # noqa: E501
PAIRS = [
    ("Le chat & le chien.", "The cat & the dog."),
    ("Une grande maison.", "A big house."),
    ("Une voiture.", "A car."),
]


def tmx(units: str, head: str = '<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n') -> str:
    return f'{head}<tmx version="1.4"><header srclang="en"/><body>{units}</body></tmx>\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("piece", [7, 1 << 22])
def test_units_in_both_languages_are_pairs(tmp_path, monkeypatch, encoding, piece):
    monkeypatch.setattr(text_files, "_PIECE", piece)
    path = tmp_path / "memory.tmx"
    path.write_bytes(tmx(UNITS).encode(encoding))
    assert list(read_tmx(path, "fr", "en")) == PAIRS
    assert list(read_tmx(path, "en", "fr")) == [pair[::-1] for pair in PAIRS]


def test_a_compressed_memory(tmp_path):
    path = tmp_path / "memory.tmx.gz"
    path.write_bytes(gzip.compress(tmx(UNITS).encode()))
    assert list(read_tmx(path, "fr", "en")) == PAIRS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (tmx("\n<tu><tuv xml:lang='fr'><seg>Un.</seg></tu>"), r"m.tmx:4: not well-formed TMX: mismatched tag"),
        (tmx(UNITS)[:200], r"m.tmx:\d+: not well-formed TMX: (unclosed token|no element found)"),
        (tmx("<tu><tuv><seg>Un.</seg></tuv></tu>"), r"m.tmx:3: a <tuv> has no xml:lang"),
        (tmx("\n\n<tu><tuv xml:lang='fr'></tuv></tu>"), r"m.tmx:5: the <tuv> in fr has no <seg>"),
        (tmx("<tu><tuv xml:lang='de'><seg>x</seg></tuv></tu>"), r"m.tmx: no translation unit in fr and en; .* are de"),
        (tmx(""), r"m.tmx: no translation unit in fr and en; it has none at all"),
        ("<html>\n</html>", r"m.tmx:1: not TMX: the root element is <html>"),
        ("Un.\tOne.\n", r"m.tmx:1: not well-formed TMX: syntax error"),
        (tmx("<tu>&nbsp;</tu>"), r"m.tmx:3: the entity &nbsp; is not defined"),
        (tmx("&lol;", '<!DOCTYPE tmx [\n<!ENTITY lol "lol">\n]>\n'), r"m.tmx:2: defines the entity lol"),
        (tmx("&x;", '<!DOCTYPE tmx [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), r"m.tmx:1: defines the entity x"),
    ],
)
def test_a_malformed_memory_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "m.tmx"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        list(read_tmx(path, "fr", "en"))
    assert "\n" not in str(caught.value)
