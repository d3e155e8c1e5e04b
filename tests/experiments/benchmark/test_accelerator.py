import pathlib
import subprocess
import sys
import time

import pytest

from experiments.benchmark import accelerator


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_failure_does_not_affect_the_other_commands(capfd: pytest.CaptureFixture[str]) -> None:
    commands = [python("print('one')"), python("raise SystemExit(3)"), python("print('three')")]
    faults = accelerator.run_commands(commands, 60)
    assert faults == ["raise SystemExit(3): status 3"]
    out = capfd.readouterr().out.splitlines()
    assert [line for line in out if line in ("one", "three")] == ["one", "three"]


def test_a_command_that_hangs_is_killed_after_its_share_of_the_time(
    capfd: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    """Its child processes are killed with it."""
    mark = tmp_path / "mark"
    child = f"import time, pathlib; time.sleep(4); pathlib.Path({str(mark)!r}).touch()"
    hangs = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    start = time.monotonic()
    faults = accelerator.run_commands([python(hangs), python("print('two')")], 4)
    assert faults == [f"{hangs}: timed out after its share of --minutes"]
    assert time.monotonic() - start < 4
    assert "two" in capfd.readouterr().out.splitlines()
    time.sleep(3)
    assert not mark.exists()


@pytest.mark.parametrize("flag", ["--works=BASE,HUGE", "--peers=ours,nobody"])
def test_a_user_error_is_one_line_before_the_first_benchmark(flag: str) -> None:
    command = [sys.executable, "-m", "experiments.benchmark.accelerator", flag]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert flag.split(",")[1] in result.stderr


def test_the_commands_exist() -> None:
    """Each command gets an invalid value, and names it in its error before JAX starts."""
    for command in accelerator.benchmark_commands(["HUGE"], ["ours"], 2, ["none"]):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 2, result.stderr
        assert "HUGE" in result.stderr or "--members=none" in result.stderr
