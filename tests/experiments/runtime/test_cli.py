"""Invalid flags and configs: one line, status 2, and no run folder."""

import os
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
        pytest.param(b"Un.\nDeux.\n", b"One.\n", "train.fr", marks=pytest.mark.slow),
        pytest.param(b"", b"", "train.fr", marks=pytest.mark.slow),
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
    with pytest.raises(SystemExit) as stopped, cli.user_errors():
        raise ConnectionError("the network is down")
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: the network is down\n"
    with pytest.raises(ZeroDivisionError), cli.user_errors():
        raise ZeroDivisionError


ECHO = """
import pathlib, sys
from absl import flags
from experiments.runtime import cli
def main(args):
    path = pathlib.Path(args.text)
    path.write_text("→", encoding="utf-8")
    print(args.text, path.read_text(encoding="utf-8"), sys.stdin.readline().strip(), flush=True)
    sys.exit(f"fin à {args.text}" + chr(0xDCE9))
cli.run(lambda: flags.DEFINE_string("text", "", "text"), main)
"""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("locale", [ASCII, {"PYTHONIOENCODING": "cp1252"}, {}], ids=["ascii", "cp1252", "utf-8"])
def test_commands_read_and_write_utf_8_in_every_locale(locale: dict[str, str], tmp_path: pathlib.Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    script = tmp_path / "echo.py"
    script.write_text(ECHO, encoding="utf-8")
    completed = subprocess.run(
        [sys.executable, script, "--text=où".encode()],
        input="L’été œuvre\n".encode(),
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)} | locale,
    )
    assert completed.stdout.decode() == "où → L’été œuvre\n", completed.stderr
    assert completed.stderr.decode().strip() == r"fin à où\udce9"
    assert (tmp_path / "où").exists()


def test_closed_outputs_are_not_given_to_files(tmp_path: pathlib.Path) -> None:
    body = f"""
import os
from experiments.runtime import cli
def main(args):
    with open({str(tmp_path / "file")!r}, "wb") as file:
        print("nothing")
        os.write(1, b"lost")
        file.write(b"kept")
cli.run(lambda: None, main)
"""
    script = tmp_path / "script.py"
    script.write_text(body, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    completed = subprocess.run(
        ["sh", "-c", f"{sys.executable} {script} >&- 2>&- <&-"], env=environment, check=False, capture_output=True
    )
    assert completed.returncode == 0
    assert (tmp_path / "file").read_bytes() == b"kept"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("evaluate", ["--split=nonsense"], "nonsense"),
        ("evaluate", ["--source=/nowhere.fr", "--reference=/nowhere.en"], "/nowhere.fr"),
        ("evaluate", ["--source=/nowhere.fr"], "must be given together"),
        ("evaluate", ["--source=/nowhere.tmx"], "/nowhere.tmx: no such file"),
        ("evaluate", ["--source=a.tmx", "--reference=b"], "a .tmx file also holds the reference"),
        ("evaluate", ["--split=test", "--test_set=wmt14"], "--split and --test_set exclude each other"),
        ("evaluate", ["--output=missing/scores"], "the folder missing does not exist; create it first"),
        ("evaluate", ["--comet=/nowhere"], "/nowhere: no such COMET checkpoint"),
        ("translate", ["--n_best=9"], "--n_best=9 is more than --beam_size=2"),
        ("translate", ["--method=sample", "--n_best=2"], "needs --method=beam"),
        ("translate", ["--score", "--n_best=2"], "exclude --n_best"),
        ("translate", ["--target=/nowhere.en"], "/nowhere.en: no such file"),
        ("translate", ["--prefix=a", "--prefix_file=b"], "--prefix and --prefix_file exclude each other"),
    ],
)
def test_user_errors_of_evaluation_and_translation(
    trained: pathlib.Path, command: str, flags: list[str], message: str
) -> None:
    arguments = [sys.executable, "-m", f"experiments.{command}", f"--workdir={trained}", *flags]
    completed = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert completed.returncode == 2
    assert completed.stdout == b""
    (line,) = completed.stderr.decode().splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    ("argument", "folders"),
    [
        ("a", ["a"]),
        ("a,b", ["a,b"]),
        ("c,d", ["c", "d"]),
        ("a,b,c", ["a,b", "c"]),
        ("c,a,b,d", ["c", "a,b", "d"]),
        ("e,f,g,a,b", ["e,f,g", "a,b"]),
        ("missing,c", ["missing", "c"]),
        ("", []),
    ],
)
def test_folders_with_commas_are_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, argument: str, folders: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "a,b", "c", "d", "e,f,g"):
        (tmp_path / name).mkdir()
    assert cli._FoldersParser().parse(argument) == folders


def test_a_reader_that_closes_the_output_ends_a_command_silently() -> None:
    """Like `cat FILE | head`: status 128 + SIGPIPE and no message."""
    arguments = [sys.executable, "-m", "experiments.train", "--help"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""
