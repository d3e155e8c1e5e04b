"""The load test of a server."""

import http.server
import json
import pathlib
import subprocess
import sys
import threading
import time
from typing import Any, ClassVar

import pytest

from experiments.benchmark import serve_load


class _Server(http.server.BaseHTTPRequestHandler):
    """Refuses the third request, sends an invalid answer to the fifth, and answers the others after a delay."""

    texts: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.texts.append(json.loads(body)["text"])
        status = {3: 503, 5: 200}.get(len(self.texts), 200)
        text = b'{"text": ""}' if status == 200 and len(self.texts) != 5 else b"{}"
        time.sleep(0.02)
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None: ...


def test_requests_are_counted_by_outcome() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever).start()
    result = serve_load.run_load(("127.0.0.1", server.server_port), clients=1, requests=7, seconds=60)
    assert (result["requests"], result["answered"], result["refused"], result["errors"]) == (7, 5, 1, 1)
    assert result["statuses"] == {"200": 5, "503": 1, "ValueError": 1}
    assert 0.02 < result["p50_seconds"] <= result["p95_seconds"] <= result["max_seconds"] < result["wall_seconds"]
    assert _Server.texts == [serve_load.sentence(number) for number in range(7)]
    assert serve_load.run_load(("127.0.0.1", server.server_port), 2, 7, seconds=-1)["requests"] == 0
    server.shutdown()
    server.server_close()
    unreachable = serve_load.run_load(("127.0.0.1", server.server_port), 3, 2, seconds=60)
    assert unreachable["statuses"] == {"ConnectionRefusedError": 6}
    assert unreachable["p95_seconds"] is None


@pytest.mark.parametrize("url", ["http://192.0.2.1:8000", "https://127.0.0.1:8000", "nonsense://"])
def test_a_load_is_only_for_this_machine(url: str) -> None:
    with pytest.raises(ValueError, match=r"--url=.*(on this machine|not known)"):
        serve_load._loopback_address(url)
    assert serve_load._loopback_address("http://127.0.0.1:8000/") == ("127.0.0.1", 8000)


@pytest.mark.slow
def test_a_load_on_a_server_that_the_benchmark_starts(trained: pathlib.Path) -> None:
    pytest.importorskip("fastapi", reason="needs the extra `serve`")
    command = [sys.executable, "-m", "experiments.benchmark.serve_load", f"--workdir={trained}"]
    result = subprocess.run([*command, "--clients=20", "--requests=3"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["requests"], report["answered"], report["errors"]) == (60, 60, 0)
    assert 0 < report["p50_seconds"] <= report["p95_seconds"] <= report["max_seconds"] <= report["wall_seconds"]
