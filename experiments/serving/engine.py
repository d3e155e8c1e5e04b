"""The compute thread: it takes jobs that can share a batch from a bounded queue and reports their progress."""

import dataclasses
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from experiments.serving.programs import SearchRow
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.decoding.translate import NOT_FINITE, decode_hypotheses

# Decoding steps between two progress reports of a search, with and without a client that streams.
_LIVE_STEPS, _QUIET_STEPS = 2, 16


class Partial(NamedTuple):
    """The best text so far."""

    text: str


class Done(NamedTuple):
    """The result: translations, best first, of a `SearchJob`; the return value of a `FunctionJob`."""

    result: Any


class Failed(NamedTuple):
    """The job failed."""

    message: str


Notify = Callable[[Partial | Done | Failed], None]  # called in the engine's thread; must not block


class BusyError(Exception):
    """The queue is full."""


@dataclasses.dataclass
class SearchJob:
    """A text to translate. Any thread may set `cancelled`; the job then needs no further events."""

    row: SearchRow
    n_best: int
    live: bool
    notify: Notify
    cancelled: bool = False


@dataclasses.dataclass
class FunctionJob:
    """Any other computation, which shares no batch."""

    function: Callable[[], Any]
    notify: Notify
    cancelled: bool = False


class _Programs(Protocol):
    """The part of `programs.Programs` that the engine uses."""

    batch_sizes: tuple[int, ...]
    tokenizer: Tokenizer

    def batch_key(self, row: SearchRow) -> tuple[Any, ...]: ...

    def search(self, rows: Sequence[SearchRow], steps: int) -> Iterator[Any]: ...


class Engine:
    """Runs jobs in a separate thread, which starts at construction.

    Args:
      capacity: Maximum number of waiting jobs.
      background_tasks: Functions to call in order while no job waits, for example to compile programs.
    """

    def __init__(self, programs: _Programs, capacity: int, background_tasks: Sequence[Callable[[], Any]] = ()) -> None:
        self._programs, self._capacity, self._background_tasks = programs, capacity, deque(background_tasks)
        self._queue: deque[SearchJob | FunctionJob] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, jobs: Sequence[SearchJob | FunctionJob]) -> None:
        """Queues all jobs, or none; raises BusyError if they do not fit."""
        with self._changed:
            if len(self._queue) + len(jobs) > self._capacity or self._closed:
                raise BusyError
            self._queue.extend(jobs)
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """Number of waiting jobs."""
        return len(self._queue)

    @property
    def preparing(self) -> int:
        """Number of background tasks that remain."""
        return len(self._background_tasks)

    def close(self) -> None:
        """Finishes the current batch and stops; waiting jobs fail."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._background_tasks or self._closed)
                if self._closed:
                    break
                batch = self._next_batch()
            if batch:
                self._compute(batch)
            elif self._background_tasks:
                self._run_background_task()
        for job in self._queue:
            job.notify(Failed("the server is shutting down"))

    def _next_batch(self) -> list[SearchJob | FunctionJob]:
        """Takes the first job and those that share its batch key, up to a full batch; the rest keep their order."""
        active: deque[SearchJob | FunctionJob] = deque(job for job in self._queue if not job.cancelled)
        self._queue = deque()
        if not active or isinstance(active[0], FunctionJob):
            self._queue.extend(active)
            return [self._queue.popleft()] if active else []
        batch: list[SearchJob | FunctionJob] = []
        key = self._programs.batch_key(active[0].row)
        for job in active:
            has_room = len(batch) < self._programs.batch_sizes[-1]
            fits = has_room and isinstance(job, SearchJob) and self._programs.batch_key(job.row) == key
            (batch if fits else self._queue).append(job)
        return batch

    def _compute(self, batch: Sequence[SearchJob | FunctionJob]) -> None:
        try:
            if isinstance(batch[0], FunctionJob):
                batch[0].notify(Done(batch[0].function()))
            else:
                self._search([job for job in batch if isinstance(job, SearchJob)])
        except Exception as error:
            # Only this batch fails: the server keeps running, and its log has the traceback.
            traceback.print_exc(file=sys.stderr)
            for job in batch:
                job.notify(Failed(f"{type(error).__name__} while computing; the server's log has more"))

    def _search(self, jobs: Sequence[SearchJob]) -> None:
        waiting = dict(enumerate(jobs))
        steps = _LIVE_STEPS if any(job.live for job in jobs) else _QUIET_STEPS
        for progress in self._programs.search([job.row for job in jobs], steps):
            done_B = np.asarray(progress.done_B)
            result, best_BT = progress.result, None
            for index, job in list(waiting.items()):
                if done_B[index]:
                    tokens_NT, scores_N = (np.asarray(array)[index, : job.n_best] for array in result[:2])
                    hypotheses = decode_hypotheses(tokens_NT, scores_N, self._programs.tokenizer)
                    job.notify(Done(hypotheses) if hypotheses else Failed(NOT_FINITE))
                    del waiting[index]
                elif job.live and not job.cancelled:
                    best_BT = np.asarray(progress.best_so_far_BT) if best_BT is None else best_BT
                    job.notify(Partial(self._programs.tokenizer.decode(best_BT[index].tolist())))
            if all(job.cancelled for job in waiting.values()):
                return

    def _run_background_task(self) -> None:
        try:
            self._background_tasks[0]()
        except Exception:
            traceback.print_exc(file=sys.stderr)
        self._background_tasks.popleft()
