"""Signals stop a process as documented, whatever it is doing."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

from experiments.runtime.signals import Interrupted, Interrupts


def test_a_signal_raises() -> None:
    with Interrupts() as interrupts, pytest.raises(Interrupted) as raised:
        signal.raise_signal(signal.SIGTERM)
    assert raised.value.status == 143
    assert str(raised.value) == "stopped by SIGTERM"
    assert interrupts.requested


def test_a_deferred_signal_raises_at_the_next_check() -> None:
    with Interrupts() as interrupts:
        with interrupts.deferred():
            interrupts.check()
            signal.raise_signal(signal.SIGINT)
            assert interrupts.requested
            with pytest.raises(Interrupted), interrupts.undeferred():
                pytest.fail("a signal that has come is not overlooked")
            with pytest.raises(Interrupted) as raised:
                interrupts.check()
        assert raised.value.status == 130


def test_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_without_entering_no_signal_is_reported() -> None:
    interrupts = Interrupts()
    interrupts.check()
    with interrupts.deferred(), interrupts.undeferred():
        assert not interrupts.requested


def process(body: str) -> subprocess.Popen[str]:
    """Starts a process that handles signals and runs `body`; returns once it has printed its first line."""
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


def test_a_second_signal_exits_at_once() -> None:
    started = process("""
        with interrupts.deferred():
            print("there")
            time.sleep(60)
    """)
    for _ in range(2):
        started.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    _, error = started.communicate(timeout=5)
    assert started.returncode == 143
    assert "a second signal exits at once" in error
    assert "without waiting any longer" in error


def test_the_process_exits_after_the_grace_period() -> None:
    """Within the grace period, even if the main thread is in C code, where no Python handler runs."""
    started = process("""
        print("there")
        hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)
    """)
    time.sleep(0.5)  # until it is there, indeed
    start = time.monotonic()
    started.send_signal(signal.SIGTERM)
    _, error = started.communicate(timeout=20)
    assert started.returncode == 143
    assert time.monotonic() - start < 10
    assert "within 1 seconds" in error
