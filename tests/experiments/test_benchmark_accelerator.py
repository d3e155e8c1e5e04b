import subprocess
import sys

from experiments.benchmark import accelerator


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_one_that_fails_takes_nothing_from_the_others(capfd) -> None:
    faults = accelerator.run([python("print('one')"), python("raise SystemExit(3)"), python("print('three')")], 60)
    assert faults == ["raise SystemExit(3): status 3"]
    out = capfd.readouterr().out.splitlines()
    assert [line for line in out if line in ("one", "three")] == ["one", "three"]


def test_none_goes_on_when_the_time_is_over(capfd) -> None:
    faults = accelerator.run([python("import time; time.sleep(60)"), python("print('two')")], 0.5)
    assert faults == [
        "import time; time.sleep(60): cut off, the time was over",
        "print('two'): not begun, the time was over",
    ]
    assert "two" not in capfd.readouterr().out.splitlines()


def test_the_parts_are_commands_that_there_are() -> None:
    """Each is begun with a size that does not exist, which every one of them refuses by name, before JAX starts."""
    done = subprocess.run(
        [sys.executable, "-m", "experiments.benchmark.accelerator", "--works=HUGE", "--members=none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if "status" in line]
    assert len(errors) == 3, done.stderr
    assert all(line.endswith("status 2") for line in errors), errors
    assert "'HUGE' is none of" in done.stderr
    assert "--members=none" in done.stderr
