"""Lines that come in: all that are there at a time, and without waiting for the end of the input."""

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator

_READ = 1 << 16  # bytes
_AHEAD = 64  # reads
_PATIENCE = 0.1  # seconds in which further lines may join the first of a chunk


class Incoming:
    """Lines of a file descriptor, read ahead by a thread; only a newline ends one.

    The thread reads the descriptor and not `sys.stdin`, whose lock it would hold when the process ends.

    Args:
      descriptor: of a file, a pipe or a terminal.
      name: in messages.
    """

    def __init__(self, descriptor: int, name: str = "stdin") -> None:
        self._descriptor, self._name = descriptor, name
        self._reads: queue.Queue[list[bytes] | OSError | None] = queue.Queue(_AHEAD)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest: list[bytes] = []
        try:
            while data := os.read(self._descriptor, _READ):
                first, *lines = data.split(b"\n")
                rest.append(first)
                if lines:
                    self._reads.put([b"".join(rest), *lines[:-1]])
                    rest = [lines[-1]]
            if last := b"".join(rest):
                self._reads.put([last])
            self._reads.put(None)
        except OSError as error:
            self._reads.put(error)

    def chunks(self, size: int) -> Iterator[tuple[int, list[str]]]:
        """Lines without their ends, at most `size` at a time, with the number of the first of them, from 1.

        A chunk has what is there when it is asked for and what comes a moment later.

        Raises:
          ValueError: a line is not UTF-8; those before it have been given.
          OSError: reading failed.
        """
        number, waiting, more = 1, deque[bytes](), True
        while more or waiting:
            until = time.monotonic() + _PATIENCE
            while more and len(waiting) < size:
                try:
                    read = self._reads.get(timeout=max(0.0, until - time.monotonic()) if waiting else None)
                except queue.Empty:
                    break
                if isinstance(read, OSError):
                    raise read
                until = until if waiting else time.monotonic() + _PATIENCE
                more = read is not None
                waiting.extend(read or ())
            lines, error = _decoded([waiting.popleft() for _ in range(min(size, len(waiting)))])
            if lines:
                yield number, lines
            number += len(lines)
            if error:
                raise ValueError(f"{self._name}: line {number} is not UTF-8: {error.reason}")


def _decoded(raw: list[bytes]) -> tuple[list[str], UnicodeDecodeError | None]:
    """The lines up to the first that is not UTF-8, and what is wrong with it."""
    lines: list[str] = []
    for line in raw:
        try:
            lines.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            return lines, error
    return lines, None
