"""Lines that are run, or printed."""

import pathlib
import sys

import pytest

from launch.shell import LineError, Shell


def test_a_line_that_fails_says_which(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LineError, match="ended with status 3: sh -c 'exit 3'"):
        Shell().run("sh", "-c", "exit 3")
    assert capfd.readouterr().err == "+ sh -c 'exit 3'\n"
    with pytest.raises(LineError, match=r"status 3: .*: told why"):
        Shell().read("sh", "-c", "echo told why >&2; exit 3")


def test_a_line_that_does_not_end_is_given_up() -> None:
    line = (sys.executable, "-S", "-c", "import time; time.sleep(60)")
    with pytest.raises(LineError, match="no end within 0 seconds"):
        Shell().run(*line, timeout=0.1)
    with pytest.raises(LineError, match="no end within 0 seconds"):
        Shell().read(*line, timeout=0.1)


def test_a_dry_run_runs_nothing(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(dry_run=True)
    shell.run("touch", f"{tmp_path}/a b")
    shell.say("a remark")
    assert shell.read("no-such-program") == ""
    assert capsys.readouterr().out == f"touch '{tmp_path}/a b'\n# a remark\nno-such-program\n"
    assert not list(tmp_path.iterdir())
