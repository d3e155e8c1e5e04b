import pathlib
import subprocess
import sys
import time

import pytest

from experiments.benchmark import accelerator


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_one_that_fails_takes_nothing_from_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    faults = accelerator.run([python("print('one')"), python("raise SystemExit(3)"), python("print('three')")], 60)
    assert faults == ["raise SystemExit(3): status 3"]
    out = capfd.readouterr().out.splitlines()
    assert [line for line in out if line in ("one", "three")] == ["one", "three"]


def test_one_that_hangs_has_its_share_of_the_time_and_no_more(
    capfd: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    """What it began ends with it."""
    mark = tmp_path / "mark"
    child = f"import time, pathlib; time.sleep(4); pathlib.Path({str(mark)!r}).touch()"
    hangs = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    begun = time.monotonic()
    faults = accelerator.run([python(hangs), python("print('two')")], 4)
    assert faults == [f"{hangs}: cut off, its share of the time was over"]
    assert time.monotonic() - begun < 4
    assert "two" in capfd.readouterr().out.splitlines()
    time.sleep(3)
    assert not mark.exists()


@pytest.mark.parametrize("flag", ["--works=BASE,HUGE", "--peers=ours,nobody"])
def test_a_mistake_is_one_line_before_anything_begins(flag: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "experiments.benchmark.accelerator", flag], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert flag.split(",")[1] in done.stderr


def test_the_parts_are_commands_that_there_are() -> None:
    """Each is begun with a size that does not exist, which every one of them refuses by name, before JAX starts."""
    for each in accelerator.parts(["HUGE"], ["ours"], 2, ["none"]):
        done = subprocess.run(each, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert "HUGE" in done.stderr or "--members=none" in done.stderr
