"""The command `serve`: its addresses, its responses, and how it stops."""

import contextlib
import http.client
import json
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from experiments.serve import _listen, _origins


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"--host=127\.0\.0\.1 --port={port}: .*; choose another, or --port=0"):
            _listen("127.0.0.1", port)


def test_the_address_of_another_machine_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"--host=192\.0\.2\.1 --port=0: "):
        _listen("192.0.2.1", 0)


def test_an_open_address_gives_a_warning(capsys) -> None:
    with _listen("127.0.0.1", 0):
        assert capsys.readouterr().err == ""
    with _listen("0.0.0.0", 0):
        assert capsys.readouterr().err.startswith("warning: --host=0.0.0.0")


def test_an_origin_has_a_scheme_and_a_host() -> None:
    assert _origins(["https://Example.org", "http://localhost:3000/", "*"]) == [
        "https://example.org", "http://localhost:3000", "*"
    ]  # fmt: skip
    for value in ("example.org", "https://example.org/page", "localhost:3000", ""):
        with pytest.raises(ValueError, match=rf"--cors={value}: no origin; give scheme and host"):
            _origins([value])


def command(module: str, *flags: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", module, *flags], input=stdin, capture_output=True, check=False)


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


def stop(started: subprocess.Popen[str], number: int) -> int:
    """Sends a signal to a server; returns its exit status, and checks that it prints the reason without a traceback."""
    started.send_signal(number)
    _, error = started.communicate(timeout=60)
    assert error.splitlines()[-1].startswith(f"stopped by {signal.Signals(number).name}")
    assert "Traceback" not in error
    assert "finishing open requests, then exiting" in error
    assert "saving" not in error
    assert "to continue" not in error
    return started.returncode


def test_serve_starts_at_once_and_stops_at_a_signal(trained: pathlib.Path) -> None:
    with serving(trained) as (started, connection):
        connection.request("GET", "/health")
        health = json.loads(connection.getresponse().read())
        assert (health["run"], health["max_tokens"]) == (trained.name, 22)
        assert stop(started, signal.SIGTERM) == 143


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--cors=example.org", "--cors=example.org: no origin"),
        pytest.param(
            "--batch_size=100000000",
            "decode.batch_size (--batch_size): a search of 100000000 sentences",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_user_errors_are_one_line(trained: pathlib.Path, flag: str, message: str) -> None:
    pytest.importorskip("fastapi", reason="needs the extra `serve`")
    completed = command("experiments.serve", f"--workdir={trained}", "--port=0", flag)
    assert completed.returncode in (1, 2)
    (line,) = completed.stderr.decode().splitlines()
    assert line.startswith(f"error: {message}")


@pytest.mark.slow
def test_responses_equal_the_output_of_translate(trained: pathlib.Path) -> None:
    lines = ["Un deux.", "", "Sept six cinq. Quatre trois deux un.", "Trois."]
    printed = command("experiments.translate", f"--workdir={trained}", stdin="\n".join(lines).encode())
    with serving(trained) as (started, connection):
        connection.request("POST", "/translate", json.dumps({"text": "\n".join(lines)}))
        assert connection.getresponse().read().startswith(b'{"error"')  # a request without content-type
        headers = {"content-type": "application/json"}
        connection.request("POST", "/translate", json.dumps({"text": "\n".join(lines)}), headers)
        response = json.loads(connection.getresponse().read())
        assert stop(started, signal.SIGINT) == 130
    assert response["text"] + "\n" == printed.stdout.decode()
    assert len(response["warnings"]) == 1
    assert b"line 3 has" in printed.stderr
