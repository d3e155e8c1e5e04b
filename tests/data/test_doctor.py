"""Every kind of fault in a corpus: the finding of the doctor and its location."""

import bz2
import dataclasses
import functools
import gzip
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import pytest

from configs.base import get_config
from transformer.data import grammar
from transformer.data.doctor import ERROR, CorpusExaminer, Finding, check_at_start, checks, fast_findings, language
from transformer.data.doctor.findings import visible_excerpt
from transformer.data.doctor.line_features import LineBlock
from transformer.data.pairs import LazyPairs, Pair
from transformer.spec import DataSpec

SIZE = 223  # pairs of the training split


def make_spec(**changes) -> DataSpec:
    return DataSpec.from_config({**get_config().to_dict()["data"], **changes})


def generated(split: str, size: int) -> list[Pair]:
    """Distinct pairs of the generated corpus."""
    pairs: dict[Pair, None] = {}
    index = 0
    while len(pairs) < size:
        example = grammar.generate(split, index)
        pairs[Pair(example.french, example.english)] = None
        index += 1
    return list(pairs)


TRAIN, TEST = generated("train", SIZE), generated("test", 61)


class Text:
    """A corpus of two splits as lines, which tests damage and write."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.lines = {
            f"{split}.{code}": [pair[side].encode() for pair in pairs]
            for split, pairs in (("train", TRAIN), ("test", TEST))
            for side, code in enumerate(("fr", "en"))
        }
        self.raw: dict[str, bytes | None] = {}

    def put(self, name: str, line: int, text: str | bytes) -> None:
        """Replaces a line, counted from 1."""
        self.lines[name][line - 1] = text.encode() if isinstance(text, str) else text

    def change(self, name: str, line: int, change: Callable[[str], str]) -> None:
        self.put(name, line, change(self.lines[name][line - 1].decode()))

    def joined(self, name: str) -> bytes:
        return b"".join(line + b"\n" for line in self.lines[name])

    def write(self) -> DataSpec:
        for name, data in ({name: self.joined(name) for name in self.lines} | self.raw).items():
            if data is not None:
                (self.folder / name).write_bytes(data)
        return make_spec(source="files", path=f"{self.folder}/{{split}}.{{language}}", max_length=50)


def examined(spec: DataSpec) -> list[Finding]:
    examination = CorpusExaminer(spec, limit=3)
    for split in ("train", "test"):
        examination.examine_files(split)
    examination.compare_splits()
    return examination.findings()


def replace(name: str, data: Callable[[bytes], bytes], to: str | None = None) -> Callable[[Text], None]:
    """Damages a complete file, which may get another name."""

    def damage(text: Text) -> None:
        text.raw[name] = None
        text.raw[to or name] = data(text.joined(name))

    return damage


def put(name: str, line: int, to: str | bytes) -> Callable[[Text], None]:
    return lambda text: text.put(name, line, to)


def change(name: str, line: int, how: Callable[[str], str]) -> Callable[[Text], None]:
    return lambda text: text.change(name, line, how)


def drop(name: str, line: int) -> Callable[[Text], None]:
    def damage(text: Text) -> None:
        del text.lines[name][line - 1]

    return damage


def exchange(text: Text) -> None:
    text.lines["train.fr"], text.lines["train.en"] = text.lines["train.en"], text.lines["train.fr"]


def shift(text: Text) -> None:
    lines = text.lines["train.en"]
    lines.append(lines.pop(100))


def same_twice(text: Text) -> None:
    text.lines["train.en"] = text.lines["train.fr"]


def both(name: str, line: int, of: str, other: int) -> Callable[[Text], None]:
    """Replaces a pair of split `name` by pair `other` of split `of`."""

    def damage(text: Text) -> None:
        for code in ("fr", "en"):
            text.lines[f"{name}.{code}"][line - 1] = text.lines[f"{of}.{code}"][other - 1]

    return damage


def everywhere(name: str, how: Callable[[str], str]) -> Callable[[Text], None]:
    def damage(text: Text) -> None:
        for line in range(len(text.lines[name])):
            text.change(name, line + 1, how)

    return damage


class Case(NamedTuple):
    """A fault and its only finding; `place` and `message` are regular expressions."""

    damage: Callable[[Text], None]
    kind: str
    place: str
    message: str
    excerpt: str = ""


def plus(kind: str, text: str, message: str, excerpt: str = "") -> Case:
    """A text is appended to a line."""
    return Case(change("train.en", 19, lambda line: line + text), kind, "train.en:19", message, excerpt)


def for_space(kind: str, text: str, message: str, excerpt: str = "") -> Case:
    """A text replaces the first space of a line."""
    damage = change("train.en", 19, lambda line: line.replace(" ", text, 1))
    return Case(damage, kind, "train.en:19", message, excerpt)


def instead(kind: str, text: str, message: str, excerpt: str = "") -> Case:
    """A text replaces a line."""
    return Case(put("train.en", 19, text), kind, "train.en:19", message, excerpt)


def boilerplate(text: Text) -> None:
    lines = [number for number, pair in enumerate(TRAIN, 1) if pair.target.endswith(".")]
    for line in lines[2:42:8]:
        text.put("train.fr", line, "Lire la suite de cet article.")


def both_sides(kind: str, french: str, english: str, message: str, excerpt: str = "", side: str = "fr") -> Case:
    """A pair replaces another one."""

    def damage(text: Text) -> None:
        text.put("train.fr", 19, french)
        text.put("train.en", 19, english)

    return Case(damage, kind, f"train.{side}:19", message, excerpt)


def german(line: str) -> str:
    """A German sentence, about as long as `line`."""
    rest = " vor dem neuen Haus und wartet auf seine Frau und auf den letzten Zug nach Hause"
    return "Der alte Mann steht heute" + rest[: max(20, len(line) - 25)] + "."


def long(text: Text) -> None:
    text.put("train.fr", 9, " ".join(["Le chat voit", *(f"{number} oiseaux et" for number in range(20)), "un chien."]))
    text.put("train.en", 9, " ".join(["The cat sees", *(f"{number} birds and" for number in range(20)), "a dog."]))


def lengthened(line: str) -> str:
    return line + " It is lovely and bright and green and calm, and the old road goes far from there." * 2


CASES = [
    # Files
    Case(replace("test.fr", lambda _: b"", "elsewhere.fr"), "missing-file", "test.fr", "cannot be read: no such file"),
    Case(replace("test.fr", lambda _: b""), "empty-file", "test.fr", "empty file: 0 bytes"),
    Case(replace("test.fr", lambda _: gzip.compress(b""), "test.fr.gz"), "empty-file", "test.fr.gz", "after decompr"),
    Case(replace("test.en", bz2.compress), "other-archive", "test.en", "than gzip: bzip2"),
    Case(replace("test.en", lambda data: data, "test.en.xz"), "misnamed-archive", "test.en.xz", "no xz file"),
    Case(replace("train.en", lambda data: bz2.compress(data)[:-20], "train.en.bz2"), "truncated-gzip",
         r"train.en.bz2:\d+", "truncated or damaged compressed file"),
    Case(replace("test.en", gzip.compress), "gzip-without-name", "test.en", "without .gz in its name"),
    Case(replace("test.en", lambda data: data, "test.en.gz"), "not-gzip", "test.en.gz", "not a gzip file: plain text"),
    Case(replace("train.en", lambda data: gzip.compress(data)[:-2000], "train.en.gz"), "truncated-gzip",
         r"train.en.gz:\d+", "truncated or damaged", "Compressed file ended"),
    Case(replace("test.fr", lambda data: gzip.compress(data)[:-8] + bytes(8), "test.fr.gz"), "truncated-gzip",
         "test.fr.gz:61", "truncated or damaged", "CRC check failed"),
    Case(replace("train.fr", lambda data: data.decode().encode("utf-16")), "wide-encoding", "train.fr", "UTF-16"),
    Case(replace("train.fr", lambda data: data.decode().encode("utf-16-be")), "wide-encoding", "train.fr", "UTF-16-BE"),
    Case(replace("train.fr", lambda data: data.decode().encode("utf-32")), "wide-encoding", "train.fr", "UTF-32"),
    # Bytes
    Case(put("train.fr", 7, "L'été".encode("cp1252") + b" commence."), "invalid-utf-8", "train.fr:7", "not UTF-8: 1 of",
         "byte 0xe9 at byte 3 of the line; read as Windows-1252: L'été commence"),
    Case(replace("train.en", lambda data: b"\xef\xbb\xbf" + data), "byte-order-mark", "train.en:1", "at the start"),
    Case(replace("train.en", lambda data: data.replace(b"\n", b"\r\n")), "crlf", "train.en:1", "223 of 223"),
    Case(replace("train.en", lambda data: data[:-1]), "no-final-newline", "train.en:223", "last line without"),
    # Lines
    instead("empty-line", "", "empty lines: 1 of 223"),
    instead("blank-line", " \t", "white space only: 1", r"␣\t"),
    instead("wordless-line", "– – !", "without a letter or a digit: 1"),
    plus("edge-space", " ", "with white space: 1", "␣"),
    for_space("double-space", "  ", "consecutive spaces: 1"),
    for_space("tab", "\t", "a tab: 1", r"\t"),
    for_space("odd-space", "\u2003", "unusual width", "<U+2003>"),
    plus("nul", "\0\0", "NUL: 1 of 223", "<U+0000>"),
    plus("carriage-return", "\rYes.", "CR inside: 1", r"\r"),
    plus("line-separator", "\u2028Yes.", r"U\+2028 or another line separator: 1", "<U+2028>"),
    plus("line-separator", "\x0cYes.", "separator: 1", "<U+000C>"),
    plus("line-separator", "\x85Yes.", "separator: 1", "<U+0085>"),
    for_space("control-character", " \x1b", "control characters: 1", "<U+001B>"),
    for_space("invisible-character", " \u200b", "zero-width characters: 1", "<U+200B>"),
    plus("invisible-character", "\ufeff", "zero-width characters: 1", "<U+FEFF>"),
    plus("private-character", "\uf0b7", "noncharacters: 1", "<U+F0B7>"),
    plus("replacement-character", "\ufffd", r"U\+FFFD, which replaces a lost character: 1"),
    Case(put("train.fr", 7, "Le cafÃ© est fermÃ© depuis lâ€™Ã©tÃ©."), "mojibake", "train.fr:7", "Windows-1252: 1"),
    plus("not-composed", " Caf\u0065\u0301.", "normal form C: 1", "e<U+0301>."),
    plus("html-entity", " R&amp;D.", "HTML entities: 1", "&amp;"),
    plus("html-entity", " It&#x27;s.", "HTML entities: 1", "&#x27;"),
    for_space("markup", " <p class='x'> ", "tags: 1", "<p class='x'>"),
    for_space("markup", " <!-- later --> ", "tags: 1", "<!-- later -->"),
    instead("repetition", "the dog and " * 4 + "the dog.", "a few words: 1"),
    plus("repetition", "." * 20, "a few words: 1", "....."),
    both_sides("mixed-scripts", "Le ch\u0430t dort.", "The cat sleeps.", "two alphabets in a word: 1", "ch\u0430t"),
    both_sides("segmented", "Le cha@@ t dort.", "The cat sleeps.", "subwords instead of words: 1", "cha@@ t"),
    both_sides("segmented", "▁Le ▁chat ▁dort.", "The cat sleeps.", "subwords instead of words: 1", "▁Le ▁chat"),
    both_sides("spaced-out", "Le c h a t o n dort.", "The kitten sleeps.", "between their letters: 1", "c h a t"),
    # Sides
    both_sides("mixed-languages", "Le chat noir is sleeping in the house.", "The black cat is sleeping in the house.",
               "a part in the language of the other side: 1", "Le chat noir is"),
    both_sides("glued-words", "Lechatnoirdort danslamaison.", "The black cat sleeps in the house.",
               "without a space between them: 1", "Lechatnoirdort"),
    both_sides("lost-accents", "L'?t? est d?j? fini.", "The summer is already over.", "accented letters are lost: 1"),
    both_sides("lost-accents", "La premiere fenetre est ici.", "The first window is here.", "letters are lost: 1"),
    both_sides("lost-accents", "La premire fentre est ici.", "The first window is here.", "letters are lost: 1"),
    both_sides("capitals", "LE CHAT NOIR DORT.", "The black cat sleeps.", "in capitals whose translation is not: 1"),
    both_sides("brackets", "Le chat (noir dort.", "The cat (black) sleeps.", "unbalanced brackets, unlike", "(noir"),
    # Pairs
    both_sides("near-copy", "Le chat noir dort dans la maison.", "Le chat blanc dort dans la maison.",
               "nearly copies of their source: 1", "Le chat blanc"),
    both_sides("half-translation", "Le chat noir dort dans la maison de la vieille dame qui habite ici avec "
               "son frère et ses deux enfants depuis vingt ans.", "The black cat sleeps in the house.",
               "about half as long as its translation: 1"),
    both_sides("numbers", "Le chat 41 dort en 1984.", "Cat 41 sleeps in 1985.", "different numbers: 1"),
    both_sides("placeholders", "%(nom)s dort.", "%(name)s sleeps.", "different placeholders: 1"),
    both_sides("end-punctuation", "Le chat noir dort-il ?", "The black cat sleeps.", "different punctuation: 1"),
    Case(change("train.en", 19, german), "wrong-language", "train.en:19", "another language: 1", "||| Der alte Mann"),
    Case(put("train.en", 19, "Le chat noir est devant la porte de la maison."), "wrong-language", "train.en:19",
         "another language: 1 of 223"),
    Case(change("train.en", 19, lambda _: TRAIN[18].source.upper()), "copy", "train.fr:19", "their source: 1 of 223"),
    Case(change("train.en", 19, lengthened), "length-ratio", "train.fr:19", "several times as long as the other: 1"),
    Case(long, "overlong", "train.fr:9", "more words than the tokens of data.max_length: 1"),
    # Splits
    Case(drop("train.en", 101), "line-counts", r"train.fr:(99|10\d)",
         r"223 source lines and 222 target lines; from .* on, the translations of 12\d lines are 1 line earlier"),
    Case(drop("train.fr", 223), "line-counts", "train.fr", "222 source lines and 223 target lines; "),
    Case(same_twice, "same-text", "train.fr", "the same text: 223 of 223 pairs are copies"),
    Case(exchange, "swapped", "train.fr", "other's language: 100% of the source and "),
    Case(everywhere("train.en", lambda line: f"{german(line)} {sum(map(ord, line))}"), "wrong-language-throughout",
         "train.en", "configured language: 100% of the lines"),
    Case(shift, "shifted", r"train.fr:(99|10\d)", r"shifted: the translations of 12\d lines are 1 line earlier"),
    Case(both("train", 150, "train", 30), "duplicate", "train.fr:150", "duplicate pairs: 1 of 223", "train.fr:30"),
    Case(boilerplate, "many-targets", r"train.fr:\d", "many targets: 1", "5 targets"),
    Case(both("test", 5, "train", 8), "overlap", "test.fr:5", "another split: 1 of 61", "train.fr:8"),
    Case(change("test.fr", 5, lambda _: TRAIN[7].source), "source-overlap", "test.fr:5", "with another target: 1"),
    Case(change("test.en", 5, lambda _: TRAIN[7].target), "target-overlap", "test.fr:5", "with another source: 1"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{number}-{case.kind}" for number, case in enumerate(CASES)])
def test_a_fault_is_reported_with_its_location(case: Case, tmp_path: pathlib.Path) -> None:
    text = Text(tmp_path)
    case.damage(text)
    findings = examined(text.write())
    assert [finding.kind for finding in findings] == [case.kind]
    (finding,) = findings
    assert re.fullmatch(case.place, finding.location.removeprefix(f"{tmp_path}/"))
    assert re.search(case.message, finding.message)
    assert case.excerpt in (*finding.excerpts, "")[0]
    check = next(check for check in checks.TABLES if check.name == case.kind)
    assert finding.severity == check.severity
    assert finding.remedy.startswith(check.remedy)


def test_a_clean_corpus_has_no_findings(tmp_path: pathlib.Path) -> None:
    assert examined(Text(tmp_path).write()) == []


# Kinds that need more lines than the cases have, or another corpus; each has a separate test.
ELSEWHERE = {
    "not-a-file", "unreadable-file", "carriage-returns-alone", "line-break", "swapped-pair", "enormous-line",
    "tokenised", "shifted-passage", "unrelated", "unrelated-passage", "many-sources", "same-split",
}  # fmt: skip


def test_every_kind_is_tested() -> None:
    names = [check.name for check in checks.TABLES]
    assert len(names) == len(set(names))
    assert {case.kind for case in CASES} | ELSEWHERE == set(names)
    assert not {case.kind for case in CASES} & ELSEWHERE
    assert {kind for check in checks.TABLES for kind in check.supersedes} <= set(names)


def test_a_folder_instead_of_a_file(tmp_path: pathlib.Path) -> None:
    text = Text(tmp_path)
    text.raw["test.en"] = None
    (tmp_path / "test.en").mkdir()
    (finding,) = examined(text.write())
    assert (finding.kind, finding.message) == ("not-a-file", "not a file: a folder")


def test_a_file_without_read_permission(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Text(tmp_path).write()
    opened = pathlib.Path.open

    def refuse(path: pathlib.Path, *args, **kwargs):
        if path.name == "test.en":  # a superuser may read a file whatever its mode is
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    (finding,) = examined(spec)
    assert (finding.kind, finding.location) == ("unreadable-file", str(tmp_path / "test.en"))
    assert finding.message == "cannot be read: Permission denied"


def test_tokenised_text(tmp_path: pathlib.Path) -> None:
    """A single space before a full stop is no sign of tokens."""
    text = Text(tmp_path)
    text.change("train.en", 19, lambda line: line.replace(".", " ."))
    assert "tokenised" not in {finding.kind for finding in examined(text.write())}
    for name in ("train.fr", "train.en"):
        everywhere(name, lambda line: re.sub(r" ?([.,])", r" \1", line))(text)
    source, target = examined(text.write())
    assert (source.kind, target.kind) == ("tokenised", "tokenised")
    assert (source.file, target.file) == (f"{tmp_path}/train.fr", f"{tmp_path}/train.en")
    assert source.count > SIZE / 2


def test_carriage_returns_as_line_ends(tmp_path: pathlib.Path) -> None:
    text = Text(tmp_path)
    for code in ("fr", "en"):
        text.raw[f"test.{code}"] = text.joined(f"test.{code}").replace(b"\n", b"\r")
    findings = {finding.kind: finding for finding in examined(text.write())}
    assert findings["carriage-returns-alone"].severity == ERROR
    assert findings["carriage-returns-alone"].excerpts == ("61 lines if CR ends a line",)
    assert "carriage-return" not in findings


def of_pairs(pairs: list[Pair], name: str = "train", **changes) -> dict[str, Finding]:
    examination = CorpusExaminer(make_spec(source="grammar", train_pairs=1, **changes), limit=3)
    examination.examine_pairs(name, pairs)
    return {finding.kind: finding for finding in examination.findings()}


def test_locations_in_a_corpus_without_files_are_indices() -> None:
    pairs = list(TRAIN)
    pairs[7] = Pair(pairs[7].source, pairs[7].target.replace(" ", "\n", 1))
    pairs[9] = Pair(pairs[9].target, pairs[9].source)
    pairs[11] = Pair(" ".join([pairs[11].source] * 200), " ".join([pairs[11].target] * 200))
    findings = of_pairs(pairs)
    assert findings["line-break"].location == "train:7"
    assert findings["line-break"].message == "lines with a line feed inside (en): 1 of 223"
    assert findings["swapped-pair"].location == "train:9"
    assert findings["enormous-line"].location == "train:11"
    assert "--fix" not in findings["swapped-pair"].remedy


def test_many_sources_of_one_target() -> None:
    """The target with the most sources is first."""
    pairs = list(TRAIN)
    for target, places in (("See below.", range(1, 6)), ("Not found.", range(50, 57)), ("No.", range(90, 94))):
        for place in places:
            pairs[place] = Pair(pairs[place].source, target)
    finding = of_pairs(pairs)["many-sources"]
    assert (finding.lines, finding.excerpts, finding.count) == ((50, 1), ("7 sources", "5 sources"), 2)


def test_only_training_skips_long_sentences() -> None:
    longest = max(max(len(side.split()) for side in pair) for pair in TRAIN)
    assert of_pairs(TRAIN, max_length=longest + 1) == {}  # end-of-sentence is a token
    assert of_pairs(TRAIN, max_length=longest)["overlong"].count >= 1
    assert of_pairs(TRAIN, name="test", max_length=longest) == {}


def test_a_test_split_of_training_pairs(tmp_path: pathlib.Path) -> None:
    text = Text(tmp_path)
    for code in ("fr", "en"):
        text.lines[f"test.{code}"] = text.lines[f"train.{code}"][50:150]
    (finding,) = examined(text.write())
    assert (finding.kind, finding.severity, finding.location) == ("same-split", ERROR, f"{tmp_path}/test.fr:1")
    assert finding.message == "most pairs are also in another split: 100 of 100"


def test_a_fault_of_all_lines_is_one_finding_with_a_few_locations(tmp_path: pathlib.Path) -> None:
    text = Text(tmp_path)
    everywhere("train.en", lambda line: line + " ")(text)
    (finding,) = examined(text.write())
    assert (finding.lines, finding.count, len(finding.excerpts)) == ((1, 2, 3), SIZE, 3)
    assert list(finding.report_lines())[-2:] == ["    and 220 more", f"    → {finding.remedy}"]
    assert finding.to_json()["lines"] == [1, 2, 3]


def test_lines_are_numbered_across_blocks(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformer.data.doctor.line_features.BLOCK_SIZE", 7)
    text = Text(tmp_path)
    text.put("train.en", 60, "")
    text.put("train.fr", 61, b"\xff" + text.lines["train.fr"][60])
    both("train", 150, "train", 30)(text)
    locations = {finding.kind: finding.location.removeprefix(f"{tmp_path}/") for finding in examined(text.write())}
    assert locations == {"empty-line": "train.en:60", "duplicate": "train.fr:150", "invalid-utf-8": "train.fr:61"}


@pytest.mark.parametrize(
    "line",
    [
        "CAFÉ… « Là-bas », dit-il ; l’été 1984, à 20 °C : 1 000 € !",  # É… and É» are not mojibake
        "«\u202fÀ São Paulo, l’œuvre coûte 3\u00a0000 €.\u202f»",
        "If x < 3 and y > 2, AT&T; and R&D; are fine -- as is <3 ...",
        "Oh oh oh, no no no, said Mr. Smith, who had had enough of that that day.",
    ],
)
def test_correct_text_has_no_faults(line: str) -> None:
    assert of_pairs([Pair(line, f"x {line}")], direction="fr-en").keys() <= {"wrong-language", "near-copy"}


@pytest.mark.parametrize("code", ["fr", "en"])
def test_languages(code: str) -> None:
    assert not language._FUNCTION_WORDS["fr"] & language._FUNCTION_WORDS["en"]
    lines = [
        "Ein Mann steht auf einer Leiter und putzt die Fenster des Hauses.",
        "Los niños juegan hoy en el jardín con la pelota nueva.",
        "I bambini giocano oggi in giardino con la palla nuova.",
        "Мальчик читает книгу в библиотеке каждый день.",
        "Two men are with the dog.", "Deux hommes sont avec le chien.", "Paris, Berlin, Rome, Madrid, Lisbon, Oslo",
    ]  # fmt: skip
    other = {"fr": "en", "en": "fr"}[code]
    languages = LineBlock(lines, 0, code, other).features.languages
    language.classify_unknown(lines, languages, code, other)
    own, foreign = language.OWN, language.OTHER
    two = [own, foreign] if code == "en" else [foreign, own]
    assert languages.tolist() == [language.THIRD] * 4 + [*two, language.UNKNOWN]


def test_the_fast_checks_warn_and_stop() -> None:
    spec = make_spec(source="grammar", train_pairs=1)
    assert check_at_start(TRAIN, TEST, spec) == []
    faulty = [*TRAIN[:50], Pair("", TRAIN[50].target), *TRAIN[51:], TEST[3]]
    assert [finding.headline() for finding in check_at_start(faulty, TEST, spec)] == [
        "train:50: warning: empty lines (fr): 1 of 224 [empty-line]",
        "validation:3: warning: pairs that are also in another split: 1 of 61 [overlap]",
    ]
    with pytest.raises(ValueError, match=r"^train: error: each side is in the other's language: 100%.*swap"):
        check_at_start([Pair(*pair[::-1]) for pair in TRAIN], TEST, spec)
    turned, spec_of = [Pair(*pair[::-1]) for pair in TRAIN], functools.partial(dataclasses.replace, spec)
    assert "in the other's language" in check_at_start(turned, TEST, spec_of(examine="warn"))[0].headline()
    assert check_at_start(turned, TEST, spec_of(examine="off")) == []
    with pytest.raises(ValueError, match=r"^validation:0: error: most pairs are also in another split: 99 of 99 \["):
        check_at_start(TRAIN, TRAIN[:99], spec)
    targets = [pair.target for pair in TRAIN]
    shifted = [Pair(pair.source, target) for pair, target in zip(TRAIN, [targets[-1], *targets], strict=False)]
    with pytest.raises(ValueError, match=r"train:0: error: the line alignment is shifted.* 1 line later") as caught:
        check_at_start(shifted, TEST, spec)
    assert "\n" not in str(caught.value)


def test_the_fast_checks_read_a_sample_of_a_large_split() -> None:
    read = []

    def pairs_at(indices) -> list[Pair]:
        read.extend(indices)
        return [TRAIN[index % SIZE] if index != 999_999 else Pair("Fin\0.", "End\0.") for index in indices]

    found = fast_findings(LazyPairs(1_000_000, pairs_at), TEST, make_spec(source="grammar", train_pairs=1))
    assert {(finding.kind, finding.location) for finding in found} == {("nul", "train:999999")}
    assert len(read) <= 20_000
    assert min(read) == 0


def test_the_fast_checks_report_indices_of_the_complete_split() -> None:
    spec = make_spec(source="grammar", train_pairs=1)
    pairs = (TRAIN * 90)[:20_000]
    pairs[1100] = TEST[3]  # between two stretches of the sample
    assert [finding.excerpts for finding in check_at_start(pairs, TEST, spec)] == [("also train:1100",)]
    pairs[12_000:] = [Pair(pair.source, pairs[place - 1].target) for place, pair in enumerate(pairs) if place >= 12_000]
    with pytest.raises(ValueError, match=r"^train:(1199\d|1200\d): error: the line alignment is shifted"):
        check_at_start(pairs, TEST, spec)


def test_an_excerpt_escapes_invisible_characters() -> None:
    assert visible_excerpt(" a\tb\u200b\u00a0c\r ") == "␣a\\tb<U+200B><U+00A0>c\\r␣"
    assert visible_excerpt("x" * 200 + "é" + "y" * 200, 200) == "…" + "x" * 24 + "é" + "y" * 47 + "…"
