"""Invalid flags and configs: one line, status 2, and no run folder."""

import pathlib
import subprocess
import sys

import pytest

from experiments.runtime import cli

ROOT = pathlib.Path(__file__).parents[3]
QUICKSTART = "--config=configs/quickstart.py"


def train(*flags: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "experiments.train", *flags]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([QUICKSTART], "--config and --workdir are needed"),
        (["--config=configs/nope.py"], "configs/nope.py does not exist"),
        ([QUICKSTART, "--config.model.hedas=4"], "unknown config key: config.model.hedas"),
        ([QUICKSTART, "--config.modle.heads=4"], "unknown config key: config.modle.heads"),
        ([QUICKSTART, "--config.model.heads=many"], "--config.model.heads=many"),
        ([QUICKSTART, "--config.model.heads=3"], "model width 128 does not divide into 3 heads"),
        ([QUICKSTART, "--confg=x"], "Unknown command line flag 'confg'"),
        ([QUICKSTART, "stray"], "unexpected argument: stray"),
        (["--config=configs/wmt14_en_fr.py:enormous"], "wmt14_en_fr:enormous"),
    ],
)
def test_user_errors_are_one_line_with_status_2(flags: list[str], message: str, tmp_path: pathlib.Path) -> None:
    workdir = [] if flags == [QUICKSTART] else [f"--workdir={tmp_path}/run"]
    completed = train(*flags, *workdir)
    assert completed.returncode == 2, completed.stderr
    assert completed.stdout == ""
    lines = completed.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert not (tmp_path / "run").exists()


def write_pair(folder: pathlib.Path, french: bytes, english: bytes) -> None:
    for split in ("train", "validation", "test"):
        (folder / f"{split}.fr").write_bytes(french)
        (folder / f"{split}.en").write_bytes(english)


@pytest.mark.parametrize(
    ("french", "english", "message"),
    [
        (b"Un.\nDeux.\n", b"One.\n", "train.fr"),
        (b"", b"", "train.fr"),
        (b"Un.\n\xff\n", b"One.\nTwo.\n", "train.fr:2"),
    ],
    ids=["misaligned", "empty", "not UTF-8"],
)
def test_an_invalid_corpus_is_reported(french: bytes, english: bytes, message: str, tmp_path: pathlib.Path) -> None:
    write_pair(tmp_path, french, english)
    files = [
        "--config.data.source=files", f"--config.data.path={tmp_path}/{{split}}.{{language}}"
    ]  # fmt: skip
    completed = train(QUICKSTART, *files, f"--workdir={tmp_path}/run")
    assert completed.returncode == 2
    assert message in completed.stderr
    assert len(completed.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_help_names_the_flags_and_nothing_else() -> None:
    completed = train("--help")
    assert completed.returncode == 0
    assert "--workdir: folder of the run" in completed.stdout
    assert "log_dir" not in completed.stdout


def test_user_errors_exit_and_bugs_raise(capsys: pytest.CaptureFixture[str]) -> None:
    cli.flags.FLAGS.unparse_flags()
    cli.flags.FLAGS(["test"])
    with pytest.raises(SystemExit) as stopped, cli.user_errors():
        raise ValueError("three\nlines\nhere")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: three lines here\n"
    with pytest.raises(ZeroDivisionError), cli.user_errors():
        raise ZeroDivisionError
