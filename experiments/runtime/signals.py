"""Handling of SIGTERM and SIGINT.

The first signal makes a run save its state and exit with status 128 + the signal's number: 143 for SIGTERM, 130 for
SIGINT. Reading, translating and scoring stop at once, because nothing is lost; training finishes its step first. A
second signal exits at once, and so does the end of the grace period: compilation in the main thread, for example,
cannot be interrupted in any other way.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from experiments.runtime import distributed

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STATUSES = tuple(128 + number for number in SIGNALS)
GRACE = 25.0  # seconds to save; clouds give 30 from the first notice until the machine stops
IDLE_GRACE = 3.0  # seconds where there is nothing to save


class Interrupted(BaseException):
    """A signal has asked the run to stop. Not an Exception, so that no error handler catches it.

    Attributes:
      number: number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def status(self) -> int:
        """The exit status."""
        return 128 + self.number


class Interrupts:
    """Handles the signals inside its context, which must be entered in the main thread.

    Outside of `deferred`, a signal raises `Interrupted` at once.

    Args:
      grace: seconds between a signal and the exit of the process, at most.
      work: what the process does after a signal and before it exits.
    """

    def __init__(self, grace: float = GRACE, work: str = "saving") -> None:
        self._grace, self._work = grace, work
        self._number: int | None = None
        self._stops_after: Callable[[int], bool] | None = None
        self._deferred = 0
        self._closed = threading.Event()

    def __enter__(self) -> "Interrupts":
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._previous_handlers = {number: signal.signal(number, self._handle) for number in SIGNALS}
        # Python's handlers wait until C code returns, which may take minutes. The bytes on this socket do not wait.
        self._previous_wakeup = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        signal.set_wakeup_fd(self._previous_wakeup)
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._sender.close()

    def coordinate(self, stops_after: Callable[[int], bool]) -> None:
        """Makes several processes stop after the same update: the first for which `stops_after` is true in all.

        JAX then handles SIGTERM and reports it to all processes; SIGINT is converted to SIGTERM.
        """
        self._stops_after = stops_after

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._stops_after is not None:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if self._number is None:
            self._number = number
        if not self._deferred:
            raise Interrupted(self._number)

    def _listen(self) -> None:
        """Exits the process at a second signal, or when the grace period after the first is over."""
        with self._receiver:
            self._enforce()

    def _enforce(self) -> None:
        while not (received := [number for number in self._receiver.recv(64) if number in SIGNALS]):
            if self._closed.is_set():
                return
        number, name = received[0], signal.Signals(received[0]).name
        grace = self._grace if self._deferred else min(self._grace, IDLE_GRACE)
        if len(received) == 1:
            _write_error(
                f"{name}: {self._work}, then exiting, within {grace:.0f} seconds; a second signal exits at once"
            )
            self._receiver.settimeout(grace)
            with contextlib.suppress(TimeoutError):
                while not any(byte in SIGNALS for byte in self._receiver.recv(64)):
                    if self._closed.is_set():
                        return
        if not self._closed.is_set():
            note = "; checkpoints saved before are complete" if self._work == "saving" else ""
            _write_error(f"exiting without waiting any longer{note}")
            os._exit(128 + number)

    @property
    def requested(self) -> bool:
        """Whether a signal has asked the process to stop."""
        return self._number is not None

    def check(self) -> None:
        """Raises Interrupted if a signal has arrived."""
        if self._number is not None:
            raise Interrupted(self._number)

    def check_after(self, update: int) -> None:
        """Raises Interrupted if the run stops after this update."""
        if self._stops_after is None:
            self.check()
        elif self._stops_after(update):
            raise Interrupted(signal.SIGTERM)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, signals do not raise; `requested` reports them. For work that must not be left half done."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1

    @contextlib.contextmanager
    def undeferred(self) -> Iterator[None]:
        """Inside `deferred`: signals raise again, including one that arrived before."""
        before, self._deferred = self._deferred, 0
        try:
            self.check()
            yield
        finally:
            self._deferred = before


def exit_interrupted(error: Interrupted | KeyboardInterrupt, hint: str = "") -> NoReturn:
    """Prints which signal stopped the process and exits with its status; not by sys.exit, which awaits compilation."""
    number = error.number if isinstance(error, Interrupted) else signal.SIGINT
    print(f"stopped by {signal.Signals(number).name}{hint}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(Exception):  # another process may have exited without disconnecting
        distributed.shutdown()
    os._exit(128 + number)


def _write_error(text: str) -> None:
    # Not `print`: the main thread may hold the stream's lock.
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno() if sys.stderr else 2, f"{text}\n".encode())
