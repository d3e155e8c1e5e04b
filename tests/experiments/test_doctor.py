"""The command `doctor`, as run from a shell, and the doctor's checks at the start of training."""

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from experiments.doctor import examine
from experiments.runs.run import Run
from transformer.spec import Spec

ROOT = pathlib.Path(__file__).parents[2]
Small = Callable[..., dict[str, Any]]


def doctor(*flags: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "experiments.doctor", "--config=configs/base.py", *flags]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)


def of_files(path: pathlib.Path) -> tuple[str, str]:
    return "--config.data.source=files", f"--config.data.path={path}"


@pytest.fixture
def damaged(corpus: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the small corpus; its test split lacks a line, and its training split has a line of white space."""
    for file in corpus.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    lines = (tmp_path / "train.en").read_text().split("\n")
    (tmp_path / "train.en").write_text("\n".join([*lines[:4], "  ", *lines[5:]]))
    lines = (tmp_path / "test.fr").read_text().split("\n")
    (tmp_path / "test.fr").write_text("\n".join(lines[1:]))
    return tmp_path / "{split}.{language}"


def test_errors_give_status_1_and_json_comes_last(damaged: pathlib.Path, tmp_path: pathlib.Path) -> None:
    completed = doctor(*of_files(damaged), "--json", f"--fix={tmp_path}/clean")
    assert completed.returncode == 1, completed.stderr
    assert completed.stderr == ""
    report = json.loads(completed.stdout.splitlines()[-1])
    assert report["pairs"] == {"train": 61, "validation": 7, "test": 4}
    assert report["errors"] == 1
    error, *warnings = report["findings"]
    assert (error["kind"], error["file"], error["split"]) == ("line-counts", f"{tmp_path}/test.fr", "test")
    (blank,) = (finding for finding in warnings if finding["kind"] == "blank-line")
    assert (blank["file"], blank["lines"], blank["count"]) == (f"{tmp_path}/train.en", [5], 1)
    assert report["warnings"] == len(warnings)
    text = completed.stdout.splitlines()
    assert f"{tmp_path}/train.en:5: warning: lines of white space only: 1 of 61 [blank-line]" in text
    assert f"1 error, {len(warnings)} warnings" in text
    refused = {copy["split"]: copy["refused"] != "" for copy in report["copies"]}
    assert refused == {"train": False, "validation": False, "test": True}
    assert (tmp_path / "clean/train.fr").exists()


def test_warnings_give_status_0(damaged: pathlib.Path) -> None:
    completed = doctor(*of_files(damaged), "--splits=train", "--limit=1")
    assert completed.returncode == 0, completed.stderr
    assert "[blank-line]" in completed.stdout
    assert "validation" not in completed.stdout
    assert not completed.stdout.rstrip().endswith("}")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--limt=3"], "Unknown command line flag 'limt'"),
        (["--limit=0"], "--limit=0"),
        (["--config.data.pth=x"], "unknown config key: config.data.pth"),
        (["--config.data.source=grammar", "--config.data.train_pairs=9", "--splits=tset"], "no split 'tset'"),
        (["--config.data.source=grammar", "--config.data.train_pairs=9", "--fix=new"], "data.source is grammar"),
        ([*of_files(ROOT / "{split}.{language}"), f"--fix={ROOT}"], "is not an empty folder"),
    ],
)
def test_user_errors_are_one_line_with_status_2(flags: list[str], message: str) -> None:
    completed = doctor(*flags)
    assert completed.returncode == 2, completed.stdout
    lines = completed.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def test_a_file_with_both_sides_is_examined_by_index(
    capsys: pytest.CaptureFixture[str], small: Small, tmp_path: pathlib.Path
) -> None:
    for split in ("train", "validation"):
        rows = [f"Le chat noir {split} {number} dort.\tThe black cat {split} {number} sleeps." for number in range(9)]
        rows[3] = "  \tThe dog."
        (tmp_path / f"{split}.tsv").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    config = small()
    config["data"] |= {"path": f"{tmp_path}/{{split}}.tsv", "train_pairs": 2}
    data = Spec.from_config(config).data
    report = examine(data, ["train", "validation"], 5)
    assert report["pairs"] == {"train": 9, "validation": 9}
    (blank,) = (f for f in report["findings"] if f["kind"] == "blank-line" and f["split"] == "train")
    assert (blank["file"], blank["lines"]) == ("train", [3])
    with pytest.raises(ValueError, match=r"--fix repairs only parallel text files, .*; data.path is .*\.tsv"):
        examine(data, ["train"], 5, str(tmp_path / "fixed"))


def test_a_missing_file_is_a_finding(small: Small, tmp_path: pathlib.Path) -> None:
    data = Spec.from_config(small(data__path=f"{tmp_path}/{{split}}.{{language}}")).data
    report = examine(data, ["train"], limit=3)
    assert [(finding["kind"], finding["file"]) for finding in report["findings"]] == [
        ("missing-file", f"{tmp_path}/train.fr"),
        ("missing-file", f"{tmp_path}/train.en"),
    ]


def test_the_generated_corpus_is_examined_by_index(capsys: pytest.CaptureFixture[str], small: Small) -> None:
    data = Spec.from_config(small(data__source="grammar", data__train_pairs=2000)).data
    report = examine(data, ["train", "validation"], limit=3)
    assert {finding["kind"] for finding in report["findings"]} <= {"duplicate"}
    assert report["pairs"] == {"train": 2000, "validation": 1000}
    assert "train: 2,000 pairs" in capsys.readouterr().out


def test_training_starts_with_warnings_and_stops_at_errors(
    small: Small, damaged: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small(data__path=str(damaged), data__test_split="absent")  # which the fast form does not open
    run = Run.open(Spec.from_config(config), str(tmp_path / "run"), (), clock=lambda: 0.0)
    run.describe()
    assert f"{tmp_path}/train.en:5: warning: lines of white space only: 1 of 61" in capsys.readouterr().out
    for code in ("fr", "en"):
        (tmp_path / f"validation.{code}").write_bytes((tmp_path / f"train.{code}").read_bytes())
    with pytest.raises(ValueError, match=r"validation.fr:1: error: most pairs are also in another split: 6\d of 61 \["):
        Run.open(Spec.from_config(config), str(tmp_path / "other"), (), clock=lambda: 0.0)
    assert not (tmp_path / "other").exists()
