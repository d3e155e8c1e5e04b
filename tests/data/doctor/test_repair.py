"""Repaired copies: their content, and that the originals do not change."""

import bz2
import gzip
import hashlib
import lzma
import pathlib
from typing import Any

import pytest

from configs.base import get_config
from transformer.data import grammar
from transformer.data.corpus import open_corpus
from transformer.data.doctor import CorpusExaminer, Finding, repair
from transformer.data.sources.text_files import read_lines
from transformer.spec import DataSpec

SIZE = 131
# Line → its text, and the text of the copy.
REPAIRED = {
    1: (b"\xef\xbb\xbfLe caf\xc3\xa9 ferme.", "Le café ferme."),
    5: ("Le cafÃ© est fermÃ©, dit-elle.".encode(), "Le café est fermé, dit-elle."),
    6: ("Il est Ã\u0192Â\u00a0 nous.".encode(), "Il est à nous."),  # wrongly decoded twice
    7: (b"L&amp;#39;homme est l&agrave;.", "L'homme est là."),
    8: (b"Le <b>grand</b> homme est ici.<br/>", "Le grand homme est ici."),
    9: (b"  Elle\tdort   encore. \r", "Elle dort encore."),
    10: ("Elle dort\u2028dans\u2003la\u200b cave\0.".encode(), "Elle dort dans la cave."),
    11: ("De\u0301ja\u0300 vu dans cette ville.".encode(), "Déjà vu dans cette ville."),
    12: ("L'été est fini pour nous.".encode("cp1252"), "L'été est fini pour nous."),
    13: ("«\u00a0Oui\u00a0», dit-il avec elle.".encode(), "«\u00a0Oui\u00a0», dit-il avec elle."),
}
# Line → its text, and why its pair is omitted.
LEFT_OUT = {
    20: (b"", "empty-line"),
    21: (b"   ", "empty-line"),  # after white space is removed
    22: ("L'homme \ufffd est parti.".encode(), "replacement-character"),
    23: (b"L'homme \xff\x81 est parti.", "invalid-utf-8"),
    24: (b"Der alte Mann steht heute vor dem neuen Haus und wartet.", "wrong-language"),
    25: (b"na " * 30, "repetition"),
}


@pytest.fixture(scope="module")
def pairs() -> dict[str, list[tuple[str, str]]]:
    def unlike(split: str, size: int) -> list[tuple[str, str]]:
        examples = [grammar.generate(split, index) for index in range(size + 9)]
        return list(dict.fromkeys((example.french, example.english) for example in examples))[:size]

    return {"train": unlike("train", SIZE), "test": unlike("test", 29)}


@pytest.fixture
def spec(pairs: dict[str, list[tuple[str, str]]], tmp_path: pathlib.Path) -> DataSpec:
    """A training split with every repairable fault, and a test split with some of them."""
    folder = tmp_path / "corpus"
    files = {
        f"{split}.{code}": [pair[side].encode() for pair in pairs[split]]
        for split in pairs
        for side, code in enumerate(("fr", "en"))
    }
    for line, (text, _) in (REPAIRED | LEFT_OUT).items():
        files["train.fr"][line - 1] = text
    for name in ("train.fr", "train.en"):
        files[name][30] = files[name][40]  # a duplicate
        files[name][31] = files[name.replace("train", "test")][3]
    files["train.en"][32] = files["train.fr"][32]  # a copy
    files["test.en"][6] += b" &lt;"
    files["test.fr"][6] += b" &lt;"
    files["test.fr"][7] = b""
    for name, lines in files.items():
        split, code = name.split(".")
        (folder / split).mkdir(parents=True, exist_ok=True)
        data = b"\r\n".join(lines)
        (folder / split / f"{code}.txt").write_bytes(data)
    return make_spec(folder)


def make_spec(folder: pathlib.Path) -> DataSpec:
    changes = {"source": "files", "path": f"{folder}/{{split}}/{{language}}.txt"}
    return DataSpec.from_config({**get_config().to_dict()["data"], **changes})


def examined(spec: DataSpec) -> list[Finding]:
    examination = CorpusExaminer(spec, limit=5)
    for split in ("train", "test"):
        examination.examine_files(split)
    examination.compare_splits()
    return examination.findings()


def fingerprint(folder: pathlib.Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*.txt*")
    }


def test_copies_are_healthy_and_originals_untouched(
    spec: DataSpec, pairs: dict[str, list[tuple[str, str]]], tmp_path: pathlib.Path
) -> None:
    before = fingerprint(tmp_path / "corpus")
    train, test = repair.write_copies(spec, ["train", "test"], examined(spec), tmp_path / "clean")
    assert fingerprint(tmp_path / "corpus") == before

    left_out = [kind for _, kind in LEFT_OUT.values()]
    reasons = {kind: left_out.count(kind) for kind in left_out} | {"duplicate": 1, "overlap": 1, "copy": 1}
    assert train.left_out == reasons
    assert (train.read, train.written) == (SIZE, SIZE - len(LEFT_OUT) - 3)
    assert (test.read, test.written, test.changed) == (29, 29, 1)  # the source; the reference has a fault, too
    assert "removed: none" in test.summary()
    assert train.files[0] == f"{tmp_path}/clean/train/fr.txt"

    copies = make_spec(tmp_path / "clean")
    french = read_lines(tmp_path / "clean/train/fr.txt")
    for line, (_, expected) in REPAIRED.items():
        assert french[line - 1] == expected
    findings = examined(copies)
    unchanged = {("empty-line", f"{tmp_path}/clean/test/fr.txt"), ("html-entity", f"{tmp_path}/clean/test/en.txt")}
    kinds = {(finding.kind, finding.file) for finding in findings if finding.kind != "end-punctuation"}
    assert kinds == unchanged
    pairs_kept = open_corpus(copies).split("train")
    assert len(pairs_kept) == train.written
    assert pairs_kept[-90:] == pairs["train"][-90:]  # still aligned


def test_copies_of_compressed_files_are_compressed(spec: DataSpec, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "corpus"
    for code in ("fr", "en"):
        plain = folder / "train" / f"{code}.txt"
        (folder / "train" / f"{code}.txt.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    first, second = (
        repair.write_copies(spec, ["train"], examined(spec), tmp_path / name)[0].files[0] for name in ("one", "two")
    )
    assert first == f"{tmp_path}/one/train/fr.txt.gz"
    assert gzip.decompress(pathlib.Path(first).read_bytes()).decode().startswith("Le café ferme.\n")
    assert pathlib.Path(first).read_bytes() == pathlib.Path(second).read_bytes()
    assert pathlib.Path(first).read_bytes()[4:8] == bytes(4)  # the time stamp of gzip


@pytest.mark.parametrize("format", [bz2, lzma])
def test_copies_keep_the_format_of_a_compressed_file(spec: DataSpec, tmp_path: pathlib.Path, format: Any) -> None:
    suffix = {bz2: "bz2", lzma: "xz"}[format]
    plain = tmp_path / "corpus/test/fr.txt"
    plain.with_name(f"fr.txt.{suffix}").write_bytes(format.compress(plain.read_bytes()))
    expected, findings = plain.read_bytes(), examined(spec)
    (copy,) = repair.write_copies(spec, ["test"], findings, tmp_path / "plain")
    plain.unlink()
    (compressed,) = repair.write_copies(spec, ["test"], examined(spec), tmp_path / "compressed")
    assert compressed.files[0] == f"{tmp_path}/compressed/test/fr.txt.{suffix}"
    assert expected
    assert format.decompress(pathlib.Path(compressed.files[0]).read_bytes()) == pathlib.Path(copy.files[0]).read_bytes()


def test_a_split_that_cannot_be_repaired_is_not_copied(spec: DataSpec, tmp_path: pathlib.Path) -> None:
    with (tmp_path / "corpus/train/en.txt").open("ab") as file:
        file.write(b"\nOne more.\n")
    train, test = repair.write_copies(spec, ["train", "test"], examined(spec), tmp_path / "clean")
    assert "not copied: " in train.summary()
    assert "131 source lines and 132 target lines" in train.refused
    assert test.written == 29
    assert not (tmp_path / "clean/train").exists()


def test_no_file_is_overwritten(spec: DataSpec, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"--fix: .*corpus exists and is not an empty folder"):
        repair.write_copies(spec, ["train"], [], tmp_path / "corpus")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match=r"--fix: .*file exists and is not an empty folder"):
        repair.write_copies(spec, ["train"], [], tmp_path / "file")
    generated = DataSpec.from_config({**get_config().to_dict()["data"], "source": "grammar", "train_pairs": 1})
    with pytest.raises(ValueError, match=r"--fix .*; data.source is grammar"):
        repair.write_copies(generated, ["train"], [], tmp_path / "new")


def test_references_change_only_on_request(spec: DataSpec, tmp_path: pathlib.Path) -> None:
    (copy,) = repair.write_copies(spec, ["test"], [], tmp_path / "clean")
    (other,) = repair.write_copies(spec, ["test"], [], tmp_path / "references", references=True)
    before = read_lines(tmp_path / "corpus/test/en.txt")
    assert read_lines(pathlib.Path(copy.files[1])) == before
    after = read_lines(pathlib.Path(other.files[1]))
    assert [index for index, pair in enumerate(zip(before, after, strict=True)) if len({*pair}) > 1] == [6]
    assert (after[6], other.changed) == (before[6].replace("&lt;", "<"), copy.changed + 1)


# Line → its text, and the text of the copy: "" if it is the same text, None if the pair is omitted.
WORDS = {
    2: ("Le maire a crié <<Bonjour tout le monde>> sur la place.", ""),
    3: ("Si a <b et c> d, alors la somme est grande.", ""),
    4: ("Le <unk> de Marie dort encore.", ""),
    5: ("Voir le fichier <nom> et <vector>.", ""),
    6: ("Le <b>chat</b> dort<br> encore.", "Le chat dort encore."),
    7: ("Le chat <!-- un mot --> dort encore.", None),
    8: ("Une famille \U0001f468\u200d\U0001f469\u200d\U0001f467 dort\u200d ici.",
        "Une famille \U0001f468\u200d\U0001f469\u200d\U0001f467 dort ici."),
    9: ("Le ch\u0430t dort encore.", "Le chat dort encore."),
}  # fmt: skip


def test_no_word_of_a_copy_is_lost(pairs: dict[str, list[tuple[str, str]]], tmp_path: pathlib.Path) -> None:
    (tmp_path / "corpus/train").mkdir(parents=True)
    for side, code in enumerate(("fr", "en")):
        lines = [pair[side] for pair in pairs["train"][:20]]
        for line, (text, _) in WORDS.items():
            lines[line - 1] = text if code == "fr" else f"The black cat {line} sleeps."
        (tmp_path / f"corpus/train/{code}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    spec = make_spec(tmp_path / "corpus")
    (copy,) = repair.write_copies(spec, ["train"], [], tmp_path / "clean")
    assert copy.left_out == {"lost-words": 1}
    french = read_lines(tmp_path / "clean/train/fr.txt")
    expected = [after or before for before, after in WORDS.values() if after is not None]
    assert [line for line in french if line not in dict(pairs["train"])] == expected
