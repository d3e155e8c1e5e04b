"""Command lines of launchers: waiting for leases, and checks of the workdir."""

import functools
import pathlib
import subprocess

import pytest

from launch import command_line


def test_the_shell_waits_for_leases_of_killed_processes(tmp_path: pathlib.Path) -> None:
    line = command_line.wait_for_leases(f"{tmp_path}/a b").replace("sleep", "echo sleep")
    output = functools.partial(subprocess.check_output, ["sh", "-c", line], text=True)
    assert output() == ""
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b/config.json").touch()
    assert output() == ""
    (tmp_path / "a b/lock.3").touch()
    assert output() == "sleep 130\n"


def test_a_bucket_url_is_an_error() -> None:
    with pytest.raises(ValueError, match="mount the bucket"):
        command_line.check_workdir("gs://bucket/run")
    command_line.check_workdir("/mnt/bucket/run")
