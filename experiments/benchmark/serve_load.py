"""Measures the latency and throughput of a server under the load of many clients.

    python -m experiments.benchmark.serve_load --workdir=runs/quickstart [--clients=200 --requests=5]
    python -m experiments.benchmark.serve_load --url=http://127.0.0.1:8000

Starts experiments.serve for a run, or uses a running server, on this machine only. Each client has a connection and
sends requests one after the other without a pause; a request is a sentence of 3 to 24 words. Refused requests (503, a
full queue) are counted and not sent again. "seconds" are from sending an answered request to receiving its answer, and
include the clients' own work on the same cores. "errors" counts requests that were neither answered nor refused. Stops
after --seconds, once pending requests are answered. Prints one JSON object; exit status 1 if there were errors.
"""

import concurrent.futures
import contextlib
import http.client
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.runtime import cli

Address = tuple[str, int]  # host and port of a server
_START_TIMEOUT = 600.0  # seconds in which a server must start and compile its programs
_WORDS = (
    "un homme avec une veste rouge regarde deux enfants qui jouent dans la neige devant la grande maison blanche "
    "pendant que leur chien noir dort"
).split()


def define() -> None:
    """Defines the flags."""
    integer = flags.DEFINE_integer
    flags.DEFINE_string("workdir", None, "folder of the run to serve")
    flags.DEFINE_string("url", None, "URL of a running server on this machine")
    integer("clients", 200, "number of concurrent clients", lower_bound=1, upper_bound=2000)
    integer("requests", 5, "requests per client", lower_bound=1, upper_bound=1000)
    integer("seconds", 120, "time limit after which clients send no more requests", lower_bound=1, upper_bound=3600)
    flags.DEFINE_bool("stream", False, "request translations as a stream")


def main(args: cli.Args) -> None:
    """Measures and prints."""
    cli.exit_on_sigterm()
    if bool(args.workdir) == bool(args.url):
        cli.exit_with_error("--workdir or --url is needed, but not both")
    with cli.runtime_errors(), cli.user_errors():
        server = contextlib.nullcontext(args.url) if args.url else _start_server(args.workdir)
        with server as url:
            address = _loopback_address(url)
            try:
                _wait_until_ready(address)
            except ConnectionError:
                raise ValueError(f"no server answers at {url}") from None
            result = run_load(address, args.clients, args.requests, args.seconds, args.stream)
    print(json.dumps(result))
    if result["errors"]:
        sys.exit(1)


def _loopback_address(url: str) -> Address:
    """Returns the host and port of a server; raises ValueError if it is not HTTP on this machine."""
    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        raise ValueError(f"--url={url}: {error.strerror}") from None
    if parts.scheme != "http" or not ipaddress.ip_address(address).is_loopback:
        raise ValueError(f"--url={url} is not http:// on this machine; never load a server of others")
    return host, port


@contextlib.contextmanager
def _start_server(workdir: str) -> Iterator[str]:
    """Starts a server for a run; yields its URL, and stops it at the end."""
    flags = [f"--workdir={workdir}", "--port=0"]
    command = [sys.executable, "-m", "experiments.serve", *flags]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
    try:
        assert server.stdout
        if not (line := server.stdout.readline()):
            sys.exit(server.wait())  # the server has printed the reason
        yield line.strip()
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
        server.wait(30)


def _wait_until_ready(address: Address) -> None:
    """Waits until the server has compiled its programs."""
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        status, health = _request(http.client.HTTPConnection(*address, timeout=_START_TIMEOUT), "/health", None)
        if status == 200 and health["status"] == "ok":
            return
        time.sleep(0.5)
    raise TimeoutError(f"the server was not ready within {_START_TIMEOUT:.0f} seconds")


def run_load(address: Address, clients: int, requests: int, seconds: float, stream: bool = False) -> dict[str, Any]:
    """Runs concurrent clients, each of which sends `requests` requests; returns their counts and latencies.

    After `seconds`, clients send no more requests. `stream` requests translations as a stream.
    """
    deadline = time.monotonic() + seconds
    path = "/translate/stream" if stream else "/translate"

    def client(number: int) -> list[tuple[str, float]]:
        connection = http.client.HTTPConnection(*address, timeout=seconds + 60)
        outcomes = []
        with contextlib.closing(connection):
            for index in range(requests):
                start = time.monotonic()
                if start > deadline:
                    break
                try:
                    status, _ = _request(connection, path, sentence(number * requests + index))
                    outcomes.append((str(status), time.monotonic() - start))
                except (OSError, http.client.HTTPException, ValueError) as error:
                    outcomes.append((type(error).__name__, 0.0))
                    connection.close()
        return outcomes

    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        outcomes = [outcome for results in pool.map(client, range(clients)) for outcome in results]
    duration = time.monotonic() - start
    return {"clients": clients, **_summarise(outcomes, duration), "stream": stream, "cpus": os.cpu_count()}


def _summarise(outcomes: Sequence[tuple[str, float]], duration: float) -> dict[str, Any]:
    """Counts requests by outcome, and returns quantiles of the latency of those that were answered."""
    statuses = Counter(status for status, _ in outcomes)
    latencies = np.array([latency for status, latency in outcomes if status == "200"] or [np.nan])
    return {
        "requests": len(outcomes),
        "answered": statuses["200"],
        "refused": statuses["503"],
        "errors": len(outcomes) - statuses["200"] - statuses["503"],
        "statuses": dict(statuses),
        "p50_seconds": _rounded(np.quantile(latencies, 0.5)),
        "p95_seconds": _rounded(np.quantile(latencies, 0.95)),
        "max_seconds": _rounded(latencies.max()),
        "wall_seconds": _rounded(duration),
        "answers_per_second": _rounded(statuses["200"] / duration),
    }


def _rounded(number: float) -> float | None:
    return None if np.isnan(number) else round(float(number), 4)


def sentence(number: int) -> str:
    """Returns a sentence of 3 to 24 words that depends only on the number."""
    words = [_WORDS[(number + index) % len(_WORDS)] for index in range(3 + number * 7 % 22)]
    return " ".join(words).capitalize() + "."


def _request(connection: http.client.HTTPConnection, path: str, text: str | None) -> tuple[int, Any]:
    """Sends a request; returns the status and the last line of the response, parsed as JSON."""
    body = None if text is None else json.dumps({"text": text})
    connection.request("POST" if body else "GET", path, body, {"content-type": "application/json"})
    response = connection.getresponse()
    result = json.loads(response.read().splitlines()[-1])
    if response.status == 200 and text is not None and "text" not in result.get("end", result):
        raise ValueError(f"no translation in {result}")
    return response.status, result


if __name__ == "__main__":
    cli.run(define, main)
