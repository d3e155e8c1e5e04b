"""Reads lines from a file, a pipe or a terminal as they arrive, without waiting for the end of the input."""

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator

_READ_SIZE = 1 << 16  # bytes
_QUEUE_SIZE = 64  # reads
_CHUNK_WAIT = 0.1  # seconds in which further lines may join the first line of a chunk


class LineReader:
    """Lines of a file descriptor, read ahead by a thread; errors call it `name`. Only a newline ends a line.

    The thread reads the descriptor and not `sys.stdin`, whose lock it would hold when the process exits.
    """

    def __init__(self, descriptor: int, name: str = "stdin") -> None:
        self._descriptor, self._name = descriptor, name
        self._reads: queue.Queue[list[bytes] | OSError | None] = queue.Queue(_QUEUE_SIZE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest: list[bytes] = []
        try:
            while data := os.read(self._descriptor, _READ_SIZE):
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
        """Yields chunks of at most `size` lines, without line ends, each with the number of its first line, from 1.

        A chunk holds the lines that have arrived when it is requested, and those that arrive a moment later.

        Raises:
          ValueError: a line is not UTF-8; the lines before it have been yielded.
          OSError: reading failed.
        """
        number, waiting, more = 1, deque[bytes](), True
        while more or waiting:
            deadline = time.monotonic() + _CHUNK_WAIT
            while more and len(waiting) < size:
                try:
                    read = self._reads.get(timeout=max(0.0, deadline - time.monotonic()) if waiting else None)
                except queue.Empty:
                    break
                if isinstance(read, OSError):
                    raise read
                deadline = deadline if waiting else time.monotonic() + _CHUNK_WAIT
                more = read is not None
                waiting.extend(read or ())
            lines, error = _decode([waiting.popleft() for _ in range(min(size, len(waiting)))])
            if lines:
                yield number, lines
            number += len(lines)
            if error:
                raise ValueError(f"{self._name}: line {number} is not UTF-8: {error.reason}")


def _decode(raw: list[bytes]) -> tuple[list[str], UnicodeDecodeError | None]:
    """Returns the lines before the first that is not UTF-8, and the error of that line."""
    lines: list[str] = []
    for line in raw:
        try:
            lines.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            return lines, error
    return lines, None
