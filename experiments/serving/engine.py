"""The one thread that computes: it takes from a bounded queue what can share a batch, and tells each how it goes."""

import dataclasses
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from experiments.serving.programs import Programs, Row
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding.translate import read

_LIVE, _QUIET = 2, 16  # steps of a search between two looks at it, where somebody watches, and where nobody does


class Partial(NamedTuple):
    """What leads now."""

    text: str


class Done(NamedTuple):
    """The result: of a `Job` its translations, best first, of a `Call` what it returned."""

    result: Any


class Failed(NamedTuple):
    """There will be no result."""

    message: str


Tell = Callable[[Partial | Done | Failed], None]  # called in the engine's thread, and must not wait


class BusyError(Exception):
    """The queue is full."""


@dataclasses.dataclass
class Job:
    """A text to translate; `cancelled` may be set at any time, and then nothing more needs to be told."""

    row: Row
    n_best: int
    live: bool
    tell: Tell
    cancelled: bool = False


@dataclasses.dataclass
class Call:
    """Anything else to compute, alone."""

    function: Callable[[], Any]
    tell: Tell
    cancelled: bool = False


class _Programs(Protocol):
    """What the engine needs of `Programs`."""

    rows: tuple[int, ...]
    tokenizer: Tokenizer

    def group(self, row: Row) -> tuple[Any, ...]: ...

    def search(self, rows: Sequence[Row], steps: int) -> Iterator[Any]: ...


class Engine:
    """Computes in a thread of its own, which is there from the start.

    Args:
      programs: what computes.
      places: most texts that wait.
      idle: what is done, one after the other, while nothing waits, such as compiling ahead.
    """

    def __init__(self, programs: Programs | _Programs, places: int, idle: Sequence[Callable[[], None]] = ()) -> None:
        self._programs, self._places, self._idle = programs, places, deque(idle)
        self._queue: deque[Job | Call] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, work: Sequence[Job | Call]) -> None:
        """Queues all of it, or nothing; raises BusyError."""
        with self._changed:
            if len(self._queue) + len(work) > self._places or self._closed:
                raise BusyError
            self._queue.extend(work)
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """How many texts wait."""
        return len(self._queue)

    @property
    def preparing(self) -> int:
        """How many programs are still to be compiled ahead."""
        return len(self._idle)

    def close(self) -> None:
        """Ends once what is being computed is done; what waits fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._idle or self._closed)
                if self._closed:
                    break
                batch = self._take()
            if batch:
                self._compute(batch)
            elif self._idle:
                self._prepare()
        for each in self._queue:
            each.tell(Failed("the server is ending"))

    def _take(self) -> list[Job | Call]:
        """The first that waits, and others of its group, as many as share a batch; the rest keep their order."""
        left: deque[Job | Call] = deque(each for each in self._queue if not each.cancelled)
        self._queue = deque()
        if not left or isinstance(left[0], Call):
            self._queue.extend(left)
            return [self._queue.popleft()] if left else []
        batch: list[Job | Call] = []
        group = self._programs.group(left[0].row)
        for each in left:
            room = len(batch) < self._programs.rows[-1]
            fits = room and isinstance(each, Job) and self._programs.group(each.row) == group
            (batch if fits else self._queue).append(each)
        return batch

    def _compute(self, batch: Sequence[Job | Call]) -> None:
        try:
            if isinstance(batch[0], Call):
                batch[0].tell(Done(batch[0].function()))
            else:
                self._search([each for each in batch if isinstance(each, Job)])
        except Exception as error:
            # One batch is lost; the server goes on, and its owner sees why.
            traceback.print_exc(file=sys.stderr)
            for each in batch:
                each.tell(Failed(f"{type(error).__name__} while computing; the server's log has more"))

    def _search(self, jobs: Sequence[Job]) -> None:
        waiting = dict(enumerate(jobs))
        steps = _LIVE if any(job.live for job in jobs) else _QUIET
        for progress in self._programs.search([job.row for job in jobs], steps):
            done_B = np.asarray(progress.done_B)
            found, leading_BT = progress.found, None
            for place, job in list(waiting.items()):
                if done_B[place]:
                    tokens_NT, scores_N = (np.asarray(each)[place, : job.n_best] for each in found[:2])
                    job.tell(Done(read(tokens_NT, scores_N, self._programs.tokenizer)))
                    del waiting[place]
                elif job.live and not job.cancelled:
                    leading_BT = np.asarray(progress.leading_BT) if leading_BT is None else leading_BT
                    job.tell(Partial(self._programs.tokenizer.decode(leading_BT[place].tolist())))
            if all(job.cancelled for job in waiting.values()):
                return

    def _prepare(self) -> None:
        try:
            self._idle[0]()
        except Exception:
            traceback.print_exc(file=sys.stderr)
        self._idle.popleft()
