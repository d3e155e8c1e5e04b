"""Before a server is there: where it may listen."""

import socket

import pytest

from experiments.serve import _listen


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"--host=127\.0\.0\.1 --port={port}: .*; choose another, or --port=0"):
            _listen("127.0.0.1", port)


def test_a_machine_that_is_not_this_one_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"--host=192\.0\.2\.1 --port=0: "):
        _listen("192.0.2.1", 0)


def test_to_be_open_to_all_is_warned_of(capsys) -> None:
    with _listen("127.0.0.1", 0):
        assert capsys.readouterr().err == ""
    with _listen("0.0.0.0", 0):
        assert capsys.readouterr().err.startswith("warning: --host=0.0.0.0")
