"""Command lines that are run or printed."""

import pathlib
import sys

import pytest

from launch.shell import CommandError, Shell


def test_a_failing_command_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="exited with status 3: sh -c 'exit 3'"):
        Shell().run("sh", "-c", "exit 3")
    assert capfd.readouterr().err == "+ sh -c 'exit 3'\n"
    with pytest.raises(CommandError, match=r"status 3: .*: the reason"):
        Shell().capture("sh", "-c", "echo the reason >&2; exit 3")


def test_a_command_that_hangs_times_out() -> None:
    command = (sys.executable, "-S", "-c", "import time; time.sleep(60)")
    with pytest.raises(CommandError, match="timed out after 0 seconds"):
        Shell().run(*command, timeout=0.1)
    with pytest.raises(CommandError, match="timed out after 0 seconds"):
        Shell().capture(*command, timeout=0.1)


def test_a_dry_run_runs_nothing(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(dry_run=True)
    shell.run("touch", f"{tmp_path}/a b")
    shell.report("a message")
    assert shell.capture("no-such-program") == ""
    assert capsys.readouterr().out == f"touch '{tmp_path}/a b'\n# a message\nno-such-program\n"
    assert not list(tmp_path.iterdir())
