"""What SIGTERM, SIGINT and a second one of them do to a run.

The first makes the run save what it can and end with status 128 + the signal's number: 143 for SIGTERM, 130 for
SIGINT. Where nothing can be lost (reading, translating, scoring) the work is given up at once; training goes on to the
end of its step. A second signal ends the process on the spot, and so does the end of the time there is for an orderly
end: a program that is being compiled in the main thread, say, cannot be left in any other way.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import NoReturn

from experiments.runtime import distributed

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STATUSES = tuple(128 + number for number in SIGNALS)
GRACE = 25.0  # seconds for an orderly end; clouds give 30 from the first notice to the end of the machine
IDLE_GRACE = 3.0  # seconds where there is nothing to save


class Interrupted(BaseException):
    """The run has been asked to end. No Exception: nothing that handles mistakes is meant to handle this.

    Attributes:
      number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number

    @property
    def status(self) -> int:
        """The exit status."""
        return 128 + self.number


class Interrupts:
    """Handles the signals while it is entered, in the main thread.

    Args:
      grace: seconds for an orderly end once a signal has come.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._number: int | None = None
        self._notified: Callable[[int], bool] | None = None
        self._guarded = 0
        self._over = threading.Event()

    def __enter__(self) -> "Interrupts":
        self._listening, self._waking = socket.socketpair()
        self._waking.setblocking(False)
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        # Python's handlers wait for C code to return, which may be minutes; these bytes do not.
        self._woken_before = signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        signal.set_wakeup_fd(self._woken_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._waking.close()

    def among_others(self, notified: Callable[[int], bool]) -> None:
        """From now on several processes end together, after an update that all have made.

        JAX handles SIGTERM then, and tells all processes when one has received it; Ctrl-C takes the same way.

        Args:
          notified: of an update's number, whether all end after it; asked in every process.
        """
        self._notified = notified

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._notified is not None:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if self._number is None:
            self._number = number
        if not self._guarded:
            raise Interrupted(self._number)

    def _listen(self) -> None:
        """Ends the process when a second signal has come, or too long after the first."""
        with self._listening:
            self._heed()

    def _heed(self) -> None:
        while not (come := [number for number in self._listening.recv(64) if number in SIGNALS]):
            if self._over.is_set():
                return
        number = come[0]
        grace = self._grace if self._guarded else min(self._grace, IDLE_GRACE)
        if len(come) == 1:
            _tell(
                f"{signal.Signals(number).name}: saving and ending, in {grace:.0f} seconds at most; once more: at once"
            )
            self._listening.settimeout(grace)
            with contextlib.suppress(TimeoutError):
                while not any(byte in SIGNALS for byte in self._listening.recv(64)):
                    if self._over.is_set():
                        return
        if not self._over.is_set():
            _tell("ended without waiting any longer; what was saved before is whole")
            os._exit(128 + number)

    @property
    def come(self) -> bool:
        """Whether to end: a signal has come."""
        return self._number is not None

    def check(self) -> None:
        """Raises Interrupted if a signal has come."""
        if self._number is not None:
            raise Interrupted(self._number)

    def after(self, update: int) -> None:
        """Raises Interrupted if the run is to end after this update."""
        if self._notified is None:
            self.check()
        elif self._notified(update):
            raise Interrupted(signal.SIGTERM)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Inside, signals do not raise; `come` says that one came. For what would be lost or half done."""
        self._guarded += 1
        try:
            yield
        finally:
            self._guarded -= 1

    @contextlib.contextmanager
    def unguarded(self) -> Iterator[None]:
        """Inside, signals raise again, and so does one that has come before."""
        before, self._guarded = self._guarded, 0
        try:
            self.check()
            yield
        finally:
            self._guarded = before


def end(error: Interrupted | KeyboardInterrupt, more: str = "") -> NoReturn:
    """Ends the process with the signal's status, after a line on why; not by sys.exit, which waits for compilation."""
    number = error.number if isinstance(error, Interrupted) else signal.SIGINT
    print(f"ended by {signal.Signals(number).name}{more}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(Exception):  # another may have gone without a word
        distributed.leave()
    os._exit(128 + number)


def _tell(text: str) -> None:
    # Not print: the main thread may hold the stream's lock.
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno() if sys.stderr else 2, f"{text}\n".encode())
