"""The command `translate`, as run from a shell."""

import json
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


@pytest.mark.slow
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
@pytest.mark.parametrize(("policy", "uncovered"), [("copy", "Ω 漢字"), ("show", "⁇ ⁇"), ("drop", "")])
def test_unknown_characters_are_replaced_or_named(trained: pathlib.Path, policy: str, uncovered: str) -> None:
    lines = ["Un deux.", "Un\u00a0deux.", "\ufeffU\u00adn de\u200bux.", "Ω 漢字", "\u202f"]
    stdin = "".join(line + "\n" for line in lines).encode()
    completed = command("experiments.translate", f"--workdir={trained}", f"--unknown={policy}", stdin=stdin)
    assert completed.returncode == 0
    out = completed.stdout.decode().split("\n")
    assert out[0] == out[1] == out[2]
    assert out[3:] == [uncovered, "", ""]
    (warning,) = completed.stderr.decode().splitlines()
    assert warning.startswith("warning: line 4: the vocabulary lacks Ω (U+03A9), 漢 (U+6F22), 字 (U+5B57);")


@pytest.mark.slow
def test_several_translations_have_line_numbers_and_scores_that_scoring_confirms(trained: pathlib.Path) -> None:
    source = b"Un deux.\n\nTrois.\n"
    printed = command("experiments.translate", f"--workdir={trained}", "--n_best=2", stdin=source).stdout.decode()
    rows = [line.split("\t") for line in printed.splitlines()]
    texts = [(number, text) for number, _, text in rows]
    assert len(set(texts)) == len(texts)
    assert rows[[number for number, _ in texts].index("2")] == ["2", "0.0000", ""]
    assert {number for number, _ in texts} == {"1", "2", "3"}
    best = {number: (float(score), text) for number, score, text in reversed(rows)}
    pairs = "".join(f"{line}\t{best[number][1]}\n" for number, line in (("1", "Un deux."), ("3", "Trois.")))
    scored = command("experiments.translate", f"--workdir={trained}", "--score", stdin=f"{pairs}x\n".encode())
    log_probabilities = [float(line.split("\t")[0]) for line in scored.stdout.decode().splitlines()]
    assert log_probabilities == pytest.approx([best["1"][0], best["3"][0]], abs=2e-3)
    assert scored.returncode == 2  # the last line has no tab; those before it are scored
    assert scored.stderr.decode().startswith("error: standard input, line 3: 0 tabs;")


@pytest.mark.slow
def test_translations_begin_with_the_words_of_their_line(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "prefixes").write_text("Five six\n\nTwo\n")
    flags = [f"--workdir={trained}", f"--prefix_file={tmp_path / 'prefixes'}", "--format=jsonl"]
    completed = command("experiments.translate", *flags, stdin=b"Un deux.\nTrois.\nQuatre un.\n")
    first, second, third = (json.loads(line)["translations"][0]["text"] for line in completed.stdout.splitlines())
    assert first.startswith("Five six")
    assert third.startswith("Two")
    assert command("experiments.translate", f"--workdir={trained}", stdin=b"Trois.\n").stdout.decode() == f"{second}\n"
    short = command("experiments.translate", *flags, stdin=b"Un.\n")
    assert short.returncode == 2
    assert "prefixes has 3 lines, and standard input has 1" in short.stderr.decode()


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


@pytest.mark.parametrize(("redirection", "name"), [("<&-", "input"), (">&-", "output")])
def test_a_closed_stream_is_one_line(redirection: str, name: str) -> None:
    line = f"{sys.executable} -m experiments.translate --workdir=none {redirection}"
    completed = subprocess.run(["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert completed.returncode == 2
    expected = f"error: standard {name} is closed; connect it to a file or a pipe, such as /dev/null\n"
    assert completed.stderr.decode() == expected
