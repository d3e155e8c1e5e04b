"""The command `evaluate`, as run from a shell."""

import gzip
import json
import pathlib
import subprocess
import sys

import pytest

from experiments.evaluate import evaluate


def command(module: str, *flags: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", module, *flags], input=stdin, capture_output=True, check=False)


def test_evaluate_prints_one_json_object_last(trained: pathlib.Path) -> None:
    completed = command("experiments.evaluate", f"--workdir={trained}", "--split=validation")
    assert completed.returncode == 0, completed.stderr.decode()
    scores = json.loads(completed.stdout.decode().splitlines()[-1])
    assert {"bleu", "chrf", "bleu_paper", "signature", "sentences", "seconds"} <= scores.keys()
    assert scores["sentences"] == 7
    assert "tok:13a" in scores["signature"]


def test_a_pair_of_files_scores_like_the_equal_split(
    trained: pathlib.Path, corpus: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source = tmp_path / "renamed.gz"
    source.write_bytes(gzip.compress(pathlib.Path(str(corpus).format(split="test", language="fr")).read_bytes()))
    reference = str(corpus).format(split="test", language="en")
    files = evaluate([str(trained)], None, str(source), reference, str(tmp_path / "out.txt"))
    split = evaluate([str(trained)], "test", None, None, str(tmp_path / "out2.txt"))
    for name in ("bleu", "chrf", "bleu_paper", "sentences"):
        assert files[name] == split[name]
    assert (tmp_path / "out.txt").read_text() == (tmp_path / "out2.txt").read_text() != ""


@pytest.mark.slow
def test_an_ensemble_of_a_run_and_itself_is_that_run(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    paths = [str(trained), f"{trained}/."]
    single, ensemble = (evaluate(paths[:count], "test", None, None, str(tmp_path / f"{count}.txt")) for count in (1, 2))
    assert (tmp_path / "1.txt").read_text() == (tmp_path / "2.txt").read_text() != ""
    assert ensemble["bleu"] == single["bleu"]
    assert list(ensemble["checkpoints"]) == paths


@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        ("experiments.evaluate", ["--split=nonsense"], "nonsense"),
        ("experiments.evaluate", ["--source=/nowhere.fr", "--reference=/nowhere.en"], "/nowhere.fr"),
        ("experiments.evaluate", ["--source=/nowhere.fr"], "must be given together"),
    ],
)
def test_user_errors_are_one_line_with_status_2(
    trained: pathlib.Path, module: str, flags: list[str], message: str
) -> None:
    completed = command(module, f"--workdir={trained}", *flags)
    assert completed.returncode == 2
    assert completed.stdout == b""
    lines = completed.stderr.decode().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def test_a_folder_without_a_run(tmp_path: pathlib.Path) -> None:
    completed = command("experiments.evaluate", f"--workdir={tmp_path}")
    assert completed.returncode == 2
    assert "config.json is missing" in completed.stderr.decode()
