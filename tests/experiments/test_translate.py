"""The command `translate`, as run from a shell."""

import os
import pathlib
import pty
import shutil
import subprocess
import sys

import pytest

from transformer.data.tokenizers.sentencepiece import Tokenizer


def command(module: str, *flags: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", module, *flags], input=stdin, capture_output=True, check=False)


@pytest.mark.parametrize("module", ["translate", "evaluate", "serve"])
def test_an_unknown_dtype_is_an_error(trained: pathlib.Path, module: str) -> None:
    completed = command(f"experiments.{module}", f"--workdir={trained}", "--dtype=float8")
    assert completed.returncode == 2
    assert completed.stderr.decode().strip().startswith("error: flag --dtype=float8: value should be one of")


def test_runs_with_different_vocabularies_are_no_ensemble(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    reversed_lines = shutil.copytree(trained, tmp_path / "other")
    Tokenizer.train_from_texts(["un deux trois quatre"] * 3, 20, "bpe").save(reversed_lines / "tokenizer.model")
    completed = command("experiments.translate", f"--workdir={trained},{reversed_lines}")
    assert completed.returncode == 2
    assert f"{reversed_lines}: tokenizer.model is " in completed.stderr.decode()


@pytest.mark.slow
def test_translate_keeps_order_blank_lines_and_does_not_depend_on_the_batch(trained: pathlib.Path) -> None:
    lines = ["Un deux.", "", "Sept six cinq quatre trois deux un.", "Trois."]
    stdin = "".join(line + "\n" for line in lines).encode()
    forwards = command("experiments.translate", f"--workdir={trained}", "--batch_size=5", stdin=stdin)
    assert forwards.returncode == 0, forwards.stderr.decode()
    out = forwards.stdout.decode().split("\n")
    assert len(out) == len(lines) + 1
    assert out[1] == ""
    backwards = "".join(line + "\n" for line in reversed(lines)).encode()
    reversed_lines = command("experiments.translate", f"--workdir={trained}", "--batch_size=2", stdin=backwards)
    assert reversed_lines.stdout.decode().split("\n")[:-1] == out[:-1][::-1]


def test_translate_in_a_pipe_answers_line_by_line(trained: pathlib.Path) -> None:
    """Line by line; a long line in parts, with a warning; it exits without a message when its output is closed."""
    started = subprocess.Popen(
        [sys.executable, "-m", "experiments.translate", f"--workdir={trained}", "--max_length=11"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert started.stdin
    assert started.stdout
    assert started.stderr

    def translations(text: str) -> list[bytes]:
        assert started.stdin
        assert started.stdout
        started.stdin.write(text.encode())
        started.stdin.flush()
        return [started.stdout.readline() for _ in range(text.count("\n"))]

    first, second, blank = translations("Un deux.\nTrois.\n\n")
    assert blank == b"\n"
    (joined,) = translations("Un deux. Trois.\n")
    assert joined.split() == first.split() + second.split()
    started.stdout.close()
    started.stdin.write(b"Un.\n")
    started.stdin.flush()
    error = started.stderr.read().decode()
    assert started.wait(timeout=60) == 141
    (line,) = error.splitlines()
    assert line.startswith("warning: line 4 has ")
    assert "in 2 parts" in line
    started.stdin.close()
    started.stderr.close()


@pytest.mark.slow
def test_translate_in_a_terminal(trained: pathlib.Path) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "experiments.translate", f"--workdir={trained}"],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        os.write(master, b"Un deux.\nTrois.\n")
        assert started.stdout
        assert all(started.stdout.readline().endswith("\n") for _ in range(2))
        os.write(master, b"\x04")
        _, error = started.communicate(timeout=60)
    os.close(master)
    os.close(slave)
    assert started.returncode == 0
    assert error == "fr to en: type a line and press Enter; Ctrl-D quits\nfr> fr> fr> \n"


@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        ("experiments.translate", ["--n_best=9"], "--n_best=9 is more than --beam_size=2"),
        ("experiments.translate", ["--method=sample", "--n_best=2"], "needs --method=beam"),
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
