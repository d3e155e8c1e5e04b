import functools
import http.server
import socket
import threading

import pytest

from transformer.data.sources import network


@pytest.fixture
def url(tmp_path):
    """URL of a local web server with one file, here.gz."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    (tmp_path / "here.gz").write_bytes(b"")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_existing_file_can_be_fetched(url):
    assert network.connection_error(f"{url}/here.gz") is None


def test_a_missing_file_cannot_be_fetched(url):
    assert network.connection_error(f"{url}/nothing.gz") == "HTTP 404 File not found"


def test_a_server_that_never_answers_times_out(monkeypatch):
    monkeypatch.setattr(network, "_SOCKET_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert network.connection_error(f"http://127.0.0.1:{server.getsockname()[1]}/train.en.gz") == "timed out"


def test_a_name_look_up_that_hangs_times_out(monkeypatch):
    monkeypatch.setattr(network, "_TOTAL_SECONDS", 0.2)
    released = threading.Event()

    def urlopen(*_, **__):
        released.wait()
        raise OSError("too late")

    monkeypatch.setattr(network.urllib.request, "urlopen", urlopen)
    assert network.connection_error("http://nowhere/train.en.gz") == "no answer within 0 s"
    released.set()


def test_an_invalid_url_cannot_be_fetched():
    assert network.connection_error("train.en.gz") == "unknown url type: 'train.en.gz'"
