"""Signals end a process in the way its documentation says, wherever they reach it."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

from experiments.runtime.signals import Interrupted, Interrupts


def test_an_unguarded_signal_raises() -> None:
    with Interrupts() as interrupts, pytest.raises(Interrupted) as raised:
        signal.raise_signal(signal.SIGTERM)
    assert raised.value.status == 143
    assert str(raised.value) == "ended by SIGTERM"
    assert interrupts.come


def test_a_guarded_signal_waits_to_be_asked_for() -> None:
    with Interrupts() as interrupts:
        with interrupts.guarded():
            interrupts.check()
            signal.raise_signal(signal.SIGINT)
            assert interrupts.come
            with pytest.raises(Interrupted), interrupts.unguarded():
                pytest.fail("a signal that has come is not overlooked")
            with pytest.raises(Interrupted) as raised:
                interrupts.check()
        assert raised.value.status == 130


def test_handlers_are_those_from_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_one_that_is_not_entered_says_that_nothing_came() -> None:
    interrupts = Interrupts()
    interrupts.check()
    with interrupts.guarded(), interrupts.unguarded():
        assert not interrupts.come


def process(body: str) -> subprocess.Popen[str]:
    """A process that handles signals and is where the body says once it has printed a line."""
    text = f"""
import hashlib, time
from experiments.runtime.signals import Interrupts
with Interrupts(grace=1.0) as interrupts:
{textwrap.indent(textwrap.dedent(body), "    ")}
"""
    started = subprocess.Popen(
        [sys.executable, "-u", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert started.stdout
    assert started.stdout.readline() == "there\n"
    return started


def test_a_second_signal_ends_the_process_at_once() -> None:
    started = process("""
        with interrupts.guarded():
            print("there")
            time.sleep(60)
    """)
    for _ in range(2):
        started.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    _, error = started.communicate(timeout=5)
    assert started.returncode == 143
    assert "once more: at once" in error
    assert "ended without waiting any longer" in error


def test_what_does_not_end_by_itself_is_ended() -> None:
    """Within the time there is, also when the main thread is in C code, where no handler of Python's runs."""
    started = process("""
        print("there")
        hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)
    """)
    time.sleep(0.5)  # until it is there, indeed
    begun = time.monotonic()
    started.send_signal(signal.SIGTERM)
    _, error = started.communicate(timeout=20)
    assert started.returncode == 143
    assert time.monotonic() - begun < 10
    assert "in 1 seconds at most" in error
