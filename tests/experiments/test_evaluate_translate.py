"""The commands that use a finished run, as a shell sees them."""

import contextlib
import gzip
import http.client
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.evaluate import evaluate
from experiments.runs.loading import _in, load
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import EOS, PAD, Spec


def command(module: str, *flags: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", module, *flags], input=stdin, capture_output=True, check=False)


def test_evaluate_prints_one_json_object_last(trained: pathlib.Path) -> None:
    done = command("experiments.evaluate", f"--workdir={trained}", "--split=validation")
    assert done.returncode == 0, done.stderr.decode()
    scores = json.loads(done.stdout.decode().splitlines()[-1])
    assert {"bleu", "chrf", "bleu_paper", "signature", "sentences", "seconds"} <= scores.keys()
    assert scores["sentences"] == 7
    assert "tok:13a" in scores["signature"]


def test_a_pair_of_files_scores_like_the_split_they_hold(
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


def test_a_run_translates_in_other_numbers_than_it_was_trained_in(
    trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Its parameters are the same; each word's logits differ, some words may."""
    found = {dtype: load([str(trained)], dtype) for dtype in (None, "float32", "bfloat16")}
    assert {dtype: system.spec.model.dtype for dtype, (system, *_) in found.items()} == {
        None: "float32",
        "float32": "float32",
        "bfloat16": "bfloat16",
    }
    source_BS = jnp.array([[5, 7, 6, EOS], [8, EOS, PAD, PAD]], jnp.int32)
    states = {dtype: system.model(params).encode(source_BS).states_BSD for dtype, (system, params, _) in found.items()}
    np.testing.assert_array_equal(states[None], states["float32"])
    assert states["bfloat16"].dtype == "bfloat16"
    difference = np.abs(np.float32(states["bfloat16"]) - states["float32"]).max()
    assert 1e-4 < difference < 0.2
    assert evaluate([str(trained)], "test", None, None, str(tmp_path / "out.txt"), "bfloat16")["sentences"] == 5


def test_a_kernel_for_16_bits_is_not_asked_for_others(small: Callable[..., dict[str, Any]]) -> None:
    half = {"model__attention_kernel": "cudnn", "model__dtype": "bfloat16", "model__d_k": 8, "model__d_v": 8}
    spec = Spec.from_config(small(**half))
    asked = {dtype: _in(dtype, spec).model for dtype in (None, "bfloat16", "float32")}
    assert {dtype: (model.dtype, model.attention_kernel) for dtype, model in asked.items()} == {
        None: ("bfloat16", "cudnn"),
        "bfloat16": ("bfloat16", "cudnn"),
        "float32": ("float32", "xla"),
    }


@pytest.mark.parametrize("module", ["translate", "evaluate", "serve"])
def test_numbers_that_do_not_exist_are_refused(trained: pathlib.Path, module: str) -> None:
    done = command(f"experiments.{module}", f"--workdir={trained}", "--dtype=float8")
    assert done.returncode == 2
    assert done.stderr.decode().strip().startswith("error: flag --dtype=float8: value should be one of")


@pytest.mark.slow
def test_an_ensemble_of_a_run_and_itself_is_that_run(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    paths = [str(trained), f"{trained}/."]
    alone, both = (evaluate(paths[:count], "test", None, None, str(tmp_path / f"{count}.txt")) for count in (1, 2))
    assert (tmp_path / "1.txt").read_text() == (tmp_path / "2.txt").read_text() != ""
    assert both["bleu"] == alone["bleu"]
    assert list(both["checkpoints"]) == paths


def test_runs_of_unlike_vocabularies_do_not_translate_together(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    other = shutil.copytree(trained, tmp_path / "other")
    Tokenizer.train(["un deux trois quatre"] * 3, 20, "bpe").save(other / "tokenizer.model")
    done = command("experiments.translate", f"--workdir={trained},{other}")
    assert done.returncode == 2
    assert f"{other}: tokenizer.model is " in done.stderr.decode()


@pytest.mark.slow
def test_translate_keeps_order_blank_lines_and_does_not_depend_on_the_batch(trained: pathlib.Path) -> None:
    lines = ["Un deux.", "", "Sept six cinq quatre trois deux un.", "Trois."]
    stdin = "".join(line + "\n" for line in lines).encode()
    whole = command("experiments.translate", f"--workdir={trained}", "--batch_size=5", stdin=stdin)
    assert whole.returncode == 0, whole.stderr.decode()
    out = whole.stdout.decode().split("\n")
    assert len(out) == len(lines) + 1
    assert out[1] == ""
    backwards = "".join(line + "\n" for line in reversed(lines)).encode()
    other = command("experiments.translate", f"--workdir={trained}", "--batch_size=2", stdin=backwards)
    assert other.stdout.decode().split("\n")[:-1] == out[:-1][::-1]


def test_translate_in_a_pipe_does_not_wait_for_the_end_of_its_input(trained: pathlib.Path) -> None:
    """Line by line; a long one in parts, with a warning; and it ends without a word when nobody reads any more."""
    started = subprocess.Popen(
        [sys.executable, "-m", "experiments.translate", f"--workdir={trained}", "--max_length=11"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert started.stdin
    assert started.stdout
    assert started.stderr

    def answers(text: str) -> list[bytes]:
        assert started.stdin
        assert started.stdout
        started.stdin.write(text.encode())
        started.stdin.flush()
        return [started.stdout.readline() for _ in range(text.count("\n"))]

    first, second, blank = answers("Un deux.\nTrois.\n\n")
    assert blank == b"\n"
    (both,) = answers("Un deux. Trois.\n")
    assert both.split() == first.split() + second.split()
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
def test_translate_at_a_terminal(trained: pathlib.Path) -> None:
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
    assert error == "fr to en: type a line and Enter; Ctrl-D ends\nfr> fr> fr> \n"


@contextlib.contextmanager
def serving(trained: pathlib.Path) -> Iterator[tuple[subprocess.Popen[str], http.client.HTTPConnection]]:
    pytest.importorskip("fastapi", reason="needs the extra `serve`")
    flags = [f"--workdir={trained}", "--port=0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-m", "experiments.serve", *flags], stdout=pipe, stderr=pipe, text=True
    ) as started:
        assert started.stdout
        url = started.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=60)
        with contextlib.closing(connection):
            yield started, connection
        if started.poll() is None:
            started.kill()


def ended(started: subprocess.Popen[str], number: int) -> int:
    """The status of a server that a signal was sent to; it says why it ended, and nothing else."""
    started.send_signal(number)
    _, error = started.communicate(timeout=60)
    assert error.splitlines()[-1].startswith(f"ended by {signal.Signals(number).name}")
    assert "Traceback" not in error
    return started.returncode


def test_serve_begins_at_once_and_ends_with_a_signal(trained: pathlib.Path) -> None:
    with serving(trained) as (started, connection):
        connection.request("GET", "/health")
        health = json.loads(connection.getresponse().read())
        assert (health["run"], health["max_tokens"]) == (trained.name, 22)
        assert ended(started, signal.SIGTERM) == 143


@pytest.mark.slow
def test_serve_answers_what_translate_prints(trained: pathlib.Path) -> None:
    lines = ["Un deux.", "", "Sept six cinq. Quatre trois deux un.", "Trois."]
    printed = command("experiments.translate", f"--workdir={trained}", stdin="\n".join(lines).encode())
    with serving(trained) as (started, connection):
        connection.request("POST", "/translate", json.dumps({"text": "\n".join(lines)}))
        assert connection.getresponse().read().startswith(b'{"error"')  # without its content's type
        headers = {"content-type": "application/json"}
        connection.request("POST", "/translate", json.dumps({"text": "\n".join(lines)}), headers)
        found = json.loads(connection.getresponse().read())
        assert ended(started, signal.SIGINT) == 130
    assert found["text"] + "\n" == printed.stdout.decode()
    assert len(found["warnings"]) == 1
    assert b"line 3 has" in printed.stderr


@pytest.mark.slow
def test_a_load_on_a_server_of_its_own(trained: pathlib.Path) -> None:
    pytest.importorskip("fastapi", reason="needs the extra `serve`")
    done = command("experiments.benchmark.serve_load", f"--workdir={trained}", "--clients=20", "--requests=3")
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert (found["requests"], found["answered"], found["errors"]) == (60, 60, 0)
    assert 0 < found["p50_seconds"] <= found["p95_seconds"] <= found["max_seconds"] <= found["wall_seconds"]


@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        ("experiments.translate", ["--n_best=9"], "--n_best=9 is more than --beam_size=2"),
        ("experiments.translate", ["--method=sample", "--n_best=2"], "needs --method=beam"),
        ("experiments.evaluate", ["--split=nonsense"], "nonsense"),
        ("experiments.evaluate", ["--source=/nowhere.fr", "--reference=/nowhere.en"], "/nowhere.fr"),
        ("experiments.evaluate", ["--source=/nowhere.fr"], "go together"),
    ],
)
def test_mistakes_are_one_line_and_status_2(trained: pathlib.Path, module: str, flags: list[str], message: str) -> None:
    done = command(module, f"--workdir={trained}", *flags)
    assert done.returncode == 2
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def test_a_folder_without_a_run(tmp_path: pathlib.Path) -> None:
    done = command("experiments.evaluate", f"--workdir={tmp_path}")
    assert done.returncode == 2
    assert "config.json is missing" in done.stderr.decode()
