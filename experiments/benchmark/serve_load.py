"""How a server stands many clients at once.

    python -m experiments.benchmark.serve_load --workdir=runs/quickstart [--clients=200 --requests=5]
    python -m experiments.benchmark.serve_load --url=http://127.0.0.1:8000

Starts experiments.serve for a run, or asks one that is there, on this machine alone. Each client has a connection and
sends one request after the other, a sentence of 3 to 24 words, without a pause. Refused requests (503, a full queue)
are counted and not sent again. "seconds" are from sending a request to having its answer, of those that were answered;
the clients' own work, on the same cores, is in them. "errors" is everything that is neither an answer nor refused. Ends
after --seconds and what is under way then. Prints one JSON object; exit status 1 if there were errors.
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
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import flags

from experiments.runtime import cli

_START = 600.0  # seconds for a server to be there, and to have compiled its programs
_WORDS = (
    "un homme avec une veste rouge regarde deux enfants qui jouent dans la neige devant la grande maison blanche "
    "pendant que leur chien noir dort"
).split()


def define() -> None:
    """Defines the flags."""
    whole = flags.DEFINE_integer
    flags.DEFINE_string("workdir", None, "folder of a run, which is served")
    flags.DEFINE_string("url", None, "of a server that is there, on this machine")
    whole("clients", 200, "at once", lower_bound=1, upper_bound=2000)
    whole("requests", 5, "of each client", lower_bound=1, upper_bound=1000)
    whole("seconds", 120, "after which no client sends another request", lower_bound=1, upper_bound=3600)
    flags.DEFINE_bool("stream", False, "ask for translations as they are made")


def main(args: cli.Args) -> None:
    """Measures and prints."""
    cli.end_on_sigterm()
    if bool(args.workdir) == bool(args.url):
        cli.refuse("--workdir or --url is needed, and not both")
    with cli.failures(), cli.mistakes():
        serving = contextlib.nullcontext(args.url) if args.url else _served(args.workdir)
        with serving as url:
            where = _loopback(url)
            try:
                _ready(where)
            except ConnectionError:
                raise ValueError(f"nobody answers at {url}") from None
            found = load(where, args.clients, args.requests, args.seconds, args.stream)
    print(json.dumps(found))
    if found["errors"]:
        sys.exit(1)


def _loopback(url: str) -> tuple[str, int]:
    """Host and port of a server on this machine.

    Raises:
      ValueError: it is no such server.
    """
    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        raise ValueError(f"--url={url}: {error.strerror}") from None
    if parts.scheme != "http" or not ipaddress.ip_address(address).is_loopback:
        raise ValueError(f"--url={url} is not http:// on this machine; a load is for nobody else's server")
    return host, port


@contextlib.contextmanager
def _served(workdir: str) -> Iterator[str]:
    """The address of a server of a run, which ends in the end."""
    flags = [f"--workdir={workdir}", "--port=0"]
    server = subprocess.Popen([sys.executable, "-m", "experiments.serve", *flags], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        if not (line := server.stdout.readline()):
            sys.exit(server.wait())  # it has said why
        yield line.strip()
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
        server.wait(30)


def _ready(where: tuple[str, int]) -> None:
    """Waits until the server has compiled its programs."""
    until = time.monotonic() + _START
    while time.monotonic() < until:
        status, health = _asked(http.client.HTTPConnection(*where, timeout=_START), "/health", None)
        if status == 200 and health["status"] == "ok":
            return
        time.sleep(0.5)
    raise TimeoutError(f"the server was not ready within {_START:.0f} seconds")


def load(where: tuple[str, int], clients: int, requests: int, seconds: float, stream: bool = False) -> dict[str, Any]:
    """Lets clients ask all at once."""
    until = time.monotonic() + seconds
    path = "/translate/stream" if stream else "/translate"

    def client(number: int) -> list[tuple[str, float]]:
        connection = http.client.HTTPConnection(*where, timeout=seconds + 60)
        found = []
        with contextlib.closing(connection):
            for place in range(requests):
                begun = time.monotonic()
                if begun > until:
                    break
                try:
                    status, _ = _asked(connection, path, sentence(number * requests + place))
                    found.append((str(status), time.monotonic() - begun))
                except (OSError, http.client.HTTPException, ValueError) as error:
                    found.append((type(error).__name__, 0.0))
                    connection.close()
        return found

    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        found = [each for one in pool.map(client, range(clients)) for each in one]
    taken = time.monotonic() - begun
    statuses = Counter(status for status, _ in found)
    times = np.array([each for status, each in found if status == "200"] or [np.nan])
    return {
        "clients": clients,
        "requests": len(found),
        "answered": statuses["200"],
        "refused": statuses["503"],
        "errors": len(found) - statuses["200"] - statuses["503"],
        "statuses": dict(statuses),
        "p50_seconds": _rounded(np.quantile(times, 0.5)),
        "p95_seconds": _rounded(np.quantile(times, 0.95)),
        "max_seconds": _rounded(times.max()),
        "wall_seconds": _rounded(taken),
        "answers_per_second": _rounded(statuses["200"] / taken),
        "stream": stream,
        "cpus": os.cpu_count(),
    }


def _rounded(number: float) -> float | None:
    return None if np.isnan(number) else round(float(number), 4)


def sentence(number: int) -> str:
    """A sentence of 3 to 24 words that depends on the number alone."""
    length = 3 + number * 7 % 22
    words = [_WORDS[(number + place) % len(_WORDS)] for place in range(length)]
    return " ".join(words).capitalize() + "."


def _asked(connection: http.client.HTTPConnection, path: str, text: str | None) -> tuple[int, Any]:
    """Status and last line of an answer, as JSON."""
    body = None if text is None else json.dumps({"text": text})
    connection.request("POST" if body else "GET", path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    found = json.loads(answer.read().splitlines()[-1])
    if answer.status == 200 and text is not None and "text" not in found.get("end", found):
        raise ValueError(f"no translation in {found}")
    return answer.status, found


if __name__ == "__main__":
    cli.run(define, main)
