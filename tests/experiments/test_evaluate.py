"""The command `evaluate`, as run from a shell."""

import gzip
import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from experiments.evaluate import evaluate, main
from experiments.runs.workdir import Workdir
from experiments.runtime import cli
from transformer.evaluation.bleu import score
from transformer.evaluation.edit_scores import edit_scores


def command(module: str, *flags: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", module, *flags], input=stdin, capture_output=True, check=False)


Scored = tuple[dict[str, Any], pathlib.Path]  # the scores and the translations


@pytest.fixture(scope="module")
def of_test_split(trained: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    path = tmp_path_factory.mktemp("scores") / "out.txt"
    return evaluate([str(trained)], "test", None, None, str(path)), path


def test_evaluate_prints_one_json_object_last(trained: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = dict.fromkeys(("source", "reference", "output", "test_set", "comet"))
    flags |= {"workdir": [str(trained)], "split": "validation", "dtype": "float32", "unknown": "copy"}
    main(cli.Args(**flags))
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"bleu", "chrf", "bleu_paper", "signature", "sentences", "seconds"} <= scores.keys()
    assert scores["sentences"] == 7
    assert "tok:13a" in scores["signature"]


def test_a_pair_of_files_scores_like_the_equal_split(
    trained: pathlib.Path, corpus: pathlib.Path, tmp_path: pathlib.Path, of_test_split: Scored
) -> None:
    source = tmp_path / "renamed.gz"
    source.write_bytes(gzip.compress(pathlib.Path(str(corpus).format(split="test", language="fr")).read_bytes()))
    reference = str(corpus).format(split="test", language="en")
    files = evaluate([str(trained)], None, str(source), reference, str(tmp_path / "out.txt"))
    split, expected = of_test_split
    for name in ("bleu", "chrf", "bleu_paper", "sentences"):
        assert files[name] == split[name]
    assert (tmp_path / "out.txt").read_text() == expected.read_text() != ""


def test_files_of_another_pair_are_refused(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for source, reference in (("talk.en", "talk.fr"), ("talk.de", "talk.en")):
        codes = f"{source[-2:]}-{reference[-2:]}"
        with pytest.raises(ValueError, match=rf"{reference}: by their names {codes}, but the run translates fr-en$"):
            evaluate([str(trained)], None, str(tmp_path / source), str(tmp_path / reference), None)


@pytest.mark.slow
def test_a_file_with_both_sides_scores_like_the_equal_split(
    trained: pathlib.Path, corpus: pathlib.Path, tmp_path: pathlib.Path, of_test_split: Scored
) -> None:
    french, english = (
        pathlib.Path(str(corpus).format(split="test", language=code)).read_text(encoding="utf-8").splitlines()
        for code in ("fr", "en")
    )
    source = tmp_path / "test.en-fr.tsv"
    source.write_text("".join(f"{b}\t{a}\n" for a, b in zip(french, english, strict=True)), encoding="utf-8")
    files = evaluate([str(trained)], None, str(source), None, str(tmp_path / "out.txt"))
    split, expected = of_test_split
    assert (files["bleu"], files["chrf"], files["split"]) == (split["bleu"], split["chrf"], "test.en-fr.tsv")
    assert (tmp_path / "out.txt").read_bytes() == expected.read_bytes()


@pytest.mark.slow
def test_an_ensemble_of_a_run_and_itself_is_that_run(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    paths = [str(trained), f"{trained}/."]
    single, ensemble = (evaluate(paths[:count], "test", None, None, str(tmp_path / f"{count}.txt")) for count in (1, 2))
    assert (tmp_path / "1.txt").read_text() == (tmp_path / "2.txt").read_text() != ""
    assert ensemble["bleu"] == single["bleu"]
    assert list(ensemble["checkpoints"]) == paths


def test_a_folder_without_a_run(tmp_path: pathlib.Path) -> None:
    completed = command("experiments.evaluate", f"--workdir={tmp_path}")
    assert completed.returncode == 2
    assert "config.json is missing" in completed.stderr.decode()


def test_several_references_score_like_sacrebleu(
    trained: pathlib.Path, corpus: pathlib.Path, tmp_path: pathlib.Path, of_test_split: Scored
) -> None:
    """The second reference is the translation itself, which needs no edit."""
    source, reference = (str(corpus).format(split="test", language=code) for code in ("fr", "en"))
    one, out = of_test_split
    two = evaluate([str(trained)], None, source, [reference, str(out)], str(tmp_path / "again.txt"))
    assert out.read_bytes() == (tmp_path / "again.txt").read_bytes()
    assert one["ter"] > two["ter"] == 0
    first, texts = (path.read_text(encoding="utf-8").split("\n")[:-1] for path in (pathlib.Path(reference), out))
    expected = score(texts, first, "en", [texts]).to_dict() | edit_scores(texts, [first, texts], "en")
    assert {name: two[name] for name in expected} == expected
    assert two["translations"] == str(tmp_path / "again.txt")


def test_translations_that_cannot_be_written_do_not_cost_the_scores(
    trained: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Workdir, "write_translations", fail)
    scores = evaluate([str(trained)], "test", None, None, None)
    assert scores["bleu"] >= 0
    assert scores["translations"] is None
    assert "the translations are not written: Read-only file system" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_reported_after_the_scores(trained: pathlib.Path) -> None:
    completed = command("experiments.evaluate", f"--workdir={trained}", "--output=/dev/full")
    assert completed.returncode == 1
    assert json.loads(completed.stdout.decode().splitlines()[-1])["translations"] is None
    assert "No space left on device" in completed.stderr.decode()


@pytest.mark.slow
def test_a_test_set_of_sacrebleu_is_read_in_the_direction_of_the_run(
    trained: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "wmt14" / "full"
    folder.mkdir(parents=True)
    for field, line in (("src", "Un deux."), ("ref", "One two."), ("docid", "1"), ("genre", "x"), ("origlang", "fr")):
        (folder / f"wmt14_full.fr-en.{field}").write_text(f"{line}\n" * 3)
    monkeypatch.setenv("SACREBLEU", str(tmp_path))
    flags = [f"--workdir={trained}", "--test_set=wmt14/full", f"--output={tmp_path / 'out.txt'}"]
    completed = command("experiments.evaluate", *flags)
    scores = json.loads(completed.stdout.decode().splitlines()[-1])
    assert (scores["split"], scores["sentences"]) == ("wmt14-full", 3)
    assert "|test:wmt14/full|lang:fr-en|" in scores["signature"]
